"""The application with one protection taken off: a test of a race is worth what it sees of this one.

``WITHOUT=locks`` reads without locking, ``WITHOUT=order`` locks in any order. The database has to be made
ready with ``UNGUARD``, which also takes its own last words away, and has it look for deadlocks soon.
"""

import os
import re
import time
from typing import Any

from sqlalchemy import Engine, event

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
