"""Suite ``reads``: whether lists and searches cost the same at a million events as at a thousand."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from rich.table import Table
from sqlalchemy import text

from app.core.pagination import COUNTED_AT_MOST
from app.services.seeds import ROWS_AT_ONCE, Crowd
from bench import quality
from bench.audit import store_of
from bench.cases import PREFIX
from bench.data import empty
from bench.load import BrokenRunError, Line, Run, drive, write
from bench.postgres import tidy
from bench.rig import Report, Rig
from bench.rush import Row
from bench.service import SERVICE, serving

SECONDS = 4
FEW = 1_000
QUICK_MANY = 3_000
SEED = 2026
RARE, RARES = "Silencio", 10
# In the name of every event in Spanish, which is every second one.
HALF = "de"
FAR_PAGE = 10_000

ADD = """
INSERT INTO events (name, start_at, end_at, capacity_total, created_by)
SELECT name, now() + interval '1 day', now() + interval '2 days', 100, (SELECT min(id) FROM users)
FROM unnest(CAST(:names AS text[])) AS name
"""


class Latencies(NamedTuple):
    """What a lone request waits for its answer, the median in milliseconds."""

    first_page: float
    rare: float
    half: float
    far_page: float


@dataclass(frozen=True)
class _Lists:
    """The service, with a number of events."""

    rig: Rig
    address: str
    seconds: int

    def get(self, **params: Any) -> Mapping[str, Any]:
        with urllib.request.urlopen(self.address + self._path(params), timeout=60) as answer:
            found: Mapping[str, Any] = json.load(answer)
            return found

    def median_ms(self, **params: Any) -> float:
        lines = [Line("GET", self._path(params), "", "")]
        file = write(lines, self.rig.folder / "requests")
        took = [drive(self.address, Run(file, 1, seconds, 200, cycles=True)) for seconds in (1, self.seconds)]
        self.rig.progress.print(f"{urlencode(params)[:40]}: {took[-1].p50_ms:.1f} ms")
        return took[-1].p50_ms

    @staticmethod
    def _path(params: Mapping[str, Any]) -> str:
        return f"{PREFIX}/events?{urlencode(params)}"


def run(rig: Rig, seconds: int | None = None) -> Report:
    """Measure few events, then many, and try the searches that people write."""
    seconds = seconds or SECONDS
    many = QUICK_MANY if rig.quick else rig.events
    table = Table(
        "Measure",
        *("figure", "beside", "ratio", "must be", ""),
        title=f"reads: {FEW:,} and {many:,} events, one client, medians of {seconds} s each",
    )
    for column in table.columns[1:4]:
        column.justify = "right"
    report = Report(table)
    try:
        missed, queries = _missed(rig)
        small, large = (_latencies(rig, events, seconds) for events in (FEW, many))
    except BrokenRunError as error:
        table.add_row("all of it", "broken")
        report.broken.append(f"reads: {error}")
        return report
    for row in _rows(small, large, many):
        verdict = "holds" if row.holds else "misses"
        table.add_row(row.label, row.ours, row.other, f"{row.ratio:.2f}", row.bound, verdict)
        if not row.holds and not rig.quick:
            report.misses.append(f"{row.label}: {row.ratio:.2f}, not {row.bound}")
    right = len(queries) - len(missed)
    holds = right >= len(queries) - quality.MOST_MISSED
    table.add_row(
        f"searches that find what is meant, among {quality.AMONG}",
        *(str(right), str(len(queries)), f"{right / len(queries):.2f}"),
        f"at least {len(queries) - quality.MOST_MISSED}",
        "holds" if holds else "misses",
    )
    if not holds:
        report.misses += [f"'{query.search}' does not find '{query.meant}'" for query in missed]
    return report


def _rows(small: Latencies, large: Latencies, many: int) -> Iterator[Row]:
    def longer(label: str, one: float, other: float, most: float) -> Row:
        return Row(label, _ms(one), _ms(other), one / other, most=most)

    yield longer(f"first page : at {FEW:,}", large.first_page, small.first_page, 1.5)
    yield longer(f"a search that matches {RARES} : at {FEW:,}", large.rare, small.rare, 1.5)
    label = f"a search that matches half of {many:,} : 100 ms"
    yield Row(label, _ms(large.half), _ms(100), large.half / 100, most=1)
    yield longer("page 10,000 by cursor : first page", large.far_page, large.first_page, 1.3)


def _missed(rig: Rig) -> tuple[list[quality.Query], list[quality.Query]]:
    """Search for what people write, and return what was not found, and all of it."""
    names, queries = quality.read()
    with _filled(rig, 0, names) as address:
        lists = _Lists(rig, address, 0)

        def find(search: str) -> Sequence[str]:
            return [item["name"] for item in lists.get(search=search)["items"]]

        return quality.missed(queries, find), queries


def _latencies(rig: Rig, events: int, seconds: int) -> Latencies:
    """Measure with so many events.

    Raises:
        BrokenRunError: the searches do not find what they are meant to find.

    """
    with _filled(rig, events, [RARE] * RARES) as address:
        lists = _Lists(rig, address, seconds)
        rare, half = (lists.get(search=word)["total"] for word in (RARE, HALF))
        if rare != RARES or half < min(events // 3, COUNTED_AT_MOST):
            message = f"{rare} and {half} of {events} events were found by '{RARE}' and '{HALF}'"
            raise BrokenRunError(message)
        far = lists.get(page=min(FAR_PAGE, events // 20) - 1)["next_cursor"]
        return Latencies(
            first_page=lists.median_ms(),
            rare=lists.median_ms(search=RARE),
            half=lists.median_ms(search=HALF),
            far_page=lists.median_ms(cursor=far),
        )


@contextmanager
def _filled(rig: Rig, events: int, names: Sequence[str]) -> Iterator[str]:
    """Serve so many made-up events, and those of ``names``, and yield the address."""
    crowd = Crowd(rig.world.password_hash, datetime.now(UTC).date(), SEED)
    store = store_of(rig.engine)
    try:
        empty(rig.engine)
        for lot in crowd.lots(people=1, events=events, registrations=0):
            for there in range(0, lot.wanted, ROWS_AT_ONCE):
                with store.job() as db:
                    lot.add(db, there, min(ROWS_AT_ONCE, lot.wanted - there))
        with store.job() as db:
            db.execute(text(ADD), {"names": list(names)})
    finally:
        store.close()
    rig.progress.print(f"{events:,} events are there")
    tidy(rig.engine)
    with serving(SERVICE, rig.served_with._replace(workers=1)) as address:
        yield address


def _ms(took: float) -> str:
    return f"{took:.1f} ms"
