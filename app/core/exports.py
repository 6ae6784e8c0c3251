"""Long downloads: read in chunks by key, each in a short transaction of its own, and sent as they come."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from starlette.responses import StreamingResponse

from app.core.database import Database, Store

# The last four are the wide forms of the first, which some spreadsheets take for them.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Export:
    """A table to download.

    ``after(db, key)`` returns the next rows, each with its key, beginning above ``key``; none at the end.
    """

    filename: str
    columns: Sequence[str]
    after: Callable[[Database, int], Sequence[tuple[int, Sequence[object]]]]


def csv_response(store: Store, export: Export) -> StreamingResponse:
    """Send ``export`` as CSV (RFC 4180, UTF-8)."""
    return StreamingResponse(
        _chunks(store, export),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{export.filename}"'},
    )


async def _chunks(store: Store, export: Export) -> AsyncIterator[str]:
    yield _lines([export.columns])
    key = 0
    while rows := await store.run(partial(_next, export, key)):
        yield _lines(row for _, row in rows)
        key = rows[-1][0]


def _next(export: Export, key: int, db: Database) -> Sequence[tuple[int, Sequence[object]]]:
    return export.after(db, key)


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = str(value)
    # A spreadsheet would run it as a formula.
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
