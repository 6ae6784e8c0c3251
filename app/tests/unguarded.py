"""The application with one protection taken off: a test of a race is worth what it sees of this one.

``WITHOUT=locks`` reads without locking, ``WITHOUT=order`` locks in any order, ``WITHOUT=freshness`` lets a
reader join a look that is under way. The database has to be made
ready with ``UNGUARD``, which also takes its own last words away, and has it look for deadlocks soon.
"""

import asyncio
import os
import re
import time
from typing import Any

from sqlalchemy import Engine, event

from app.core.coalescing import SharedReads
from app.main import app

__all__ = ["UNGUARD", "app"]

UNGUARD = (
    "ALTER TABLE events DROP CONSTRAINT ck_events_confirmed_within_capacity",
    "DROP INDEX uq_registrations_live",
    "ALTER TABLE sessions DROP CONSTRAINT ck_sessions_seats_within_capacity",
    "ALTER TABLE seats DROP CONSTRAINT ex_seats_attendee_is_in_one_place",
    "CREATE FUNCTION yes(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE FUNCTION slow(integer) RETURNS integer LANGUAGE sql AS 'SELECT pg_sleep(0.01); SELECT $1'",
    """
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 50', current_database());
    END $$
    """,
)

PAUSE_SECONDS = 0.03
LONG_LOOK_SECONDS = 0.3
WITHOUT = {
    "locks": ((r" FOR (NO KEY )?UPDATE( OF \w+)?", ""), (r"\bpg_try_advisory_xact_lock\b", "yes")),
    "order": (
        (r"^SELECT (now\(\) AS \w+, )?events\.id(?=, events\.status\b)", r"SELECT \1slow(events.id)"),
        (r"ORDER BY events\.id FOR", "ORDER BY random() FOR"),
    ),
}
REWRITES = WITHOUT.get(os.environ.get("WITHOUT", ""), ())


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def take_protection_off(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    for pattern, replacement in REWRITES:
        statement = re.sub(pattern, replacement, statement)
    if statement.startswith(("INSERT INTO registrations", "INSERT INTO seats")):
        # As if more were to be done between looking and writing.
        time.sleep(PAUSE_SECONDS)
    return statement, parameters


_under_way: dict[Any, asyncio.Task[Any]] = {}


async def join_what_is_under_way(reads: SharedReads[Any, Any], key: Any) -> Any:
    """Return what somebody else began to look up, perhaps before this reader asked."""

    async def look_long() -> Any:
        found = await reads._look(key)  # noqa: SLF001 - this is what is to be broken
        await asyncio.sleep(LONG_LOOK_SECONDS)
        return found

    task = _under_way.get(key)
    if task is None:
        task = _under_way[key] = asyncio.create_task(look_long())
        task.add_done_callback(lambda _: _under_way.pop(key))
    return await asyncio.shield(task)


if os.environ.get("WITHOUT") == "freshness":
    SharedReads.get = join_what_is_under_way  # type: ignore[method-assign,assignment]
