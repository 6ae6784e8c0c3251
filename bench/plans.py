"""Suite ``plans``: how PostgreSQL finds the events of a list, with many of them; shown, and not judged."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from rich.table import Table
from sqlalchemy import Engine, event

from app.core.database import SETTINGS
from app.core.security import Seals
from app.schemas.events import EventQuery
from app.services.events import list_public
from bench.audit import store_of
from bench.reads import FAR_PAGE, HALF, RARE, RARES, fill, many_events
from bench.report import Report
from bench.rig import Rig

PATH = "/events"
MISSPELT = RARE[:-2] + RARE[-1] + RARE[-2]
AS_TEXT = "ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF"
# Of each node it is shown what it does and how many rows come of it, and of the whole how much is read.
SHOWN = re.compile(r"->|\(rows|Index Cond|Recheck Cond|^ *Filter|Rows Removed|Heap Fetches")


class Explained(NamedTuple):
    """A statement, and what the server says about how it was carried out."""

    statement: str
    plan: Any


@contextmanager
def explained(engine: Engine, how: str) -> Iterator[list[Explained]]:
    """Collect the plans of all statements, as they are carried out under the settings of the moment."""
    plans: list[Explained] = []

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, context: Any, _many: Any) -> None:
        brought = context.execution_options.get(SETTINGS, {})
        settings = "".join(f"SET LOCAL {name} = {value}; " for name, value in brought.items())
        with cursor.connection.cursor() as beside:
            beside.execute(f"{settings}EXPLAIN ({how}) {statement}", parameters)
            plans.append(Explained(statement, beside.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def run(rig: Rig) -> Report:
    """Explain what everybody asks first, what is searched for, and what the filters leave."""
    events = many_events(rig)
    fill(rig, events, [RARE] * RARES)
    table = Table("Asked for", "is found by", title=f"plans: the list of {events:,} events", show_lines=True)
    seals = Seals(rig.secret, "cursors")
    with closing(store_of(rig.engine)) as store:

        def ask(**query: Any) -> str | None:
            wanted = EventQuery.model_validate(query).located(PATH, seals)
            with store.looks() as db:
                return list_public(db, wanted).next_cursor if wanted else None

        far = ask(page=min(FAR_PAGE, events // 20) - 1)
        asked: dict[str, dict[str, Any]] = {
            "nothing in particular": {},
            "page 10,000 by cursor": {"cursor": far},
            "sort=name": {"sort": "name"},
            "has_places=true": {"has_places": "true"},
            "from a year on": {"from": datetime.now(UTC) + timedelta(days=365)},
            f"search={RARE}": {"search": RARE},
            f"search={MISSPELT}": {"search": MISSPELT},
            f"search={HALF}": {"search": HALF},
        }
        for label, query in asked.items():
            with explained(store.engine, AS_TEXT) as plans:
                ask(**query)
            table.add_row(label, "\n\n".join(_readable(plan) for _, plan in plans))
    return Report(table)


def _readable(plan: Any) -> str:
    lines = [line for (line,) in plan]
    buffers = next((line.strip() for line in lines if "Buffers:" in line), "")
    shown = (line.replace("(actual rows=", "(rows=").replace(" loops=1)", ")") for line in lines)
    return "\n".join([*filter(SHOWN.search, shown), buffers])
