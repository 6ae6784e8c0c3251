"""The data of a run: always the same rows under the same ids, so that requests can be written down before."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from sqlalchemy import Engine, text

from app.core.security import Claims, PasswordHasher, Tokens
from app.models import Base
from bench.postgres import tidy

FIRST_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)
PASSWORD = "correct horse battery staple"
DAYS = 300
SESSIONS_EACH = 3

ROWS = (
    """
    INSERT INTO users (email, full_name, password_hash, role)
    SELECT 'person' || n || '@example.com', 'Person ' || n, :password_hash,
        CASE n WHEN 1 THEN 'ADMIN' ELSE 'ATTENDEE' END
    FROM generate_series(1, :people) AS n
    """,
    """
    INSERT INTO sign_ins (user_id, token_version, family_digest, token_digest, expires_at)
    SELECT id, 1, sha256(email::bytea), sha256(email::bytea), now() + interval '1 day' FROM users ORDER BY id
    """,
    """
    INSERT INTO events (name, description, venue, start_at, end_at, capacity_total, created_by)
    SELECT 'Event ' || n, repeat('Words about the event. ', 10), 'Venue ' || n % 50,
        :first_day + make_interval(days => n % :days), :first_day + make_interval(days => n % :days + 3),
        1000000, n
    FROM generate_series(1, :events) AS n
    """,
    "INSERT INTO rooms (event_id, name) SELECT id, 'Room 1' FROM events ORDER BY id",
    "INSERT INTO speakers (full_name, created_by) SELECT 'Speaker ' || id, id FROM events ORDER BY id",
    "INSERT INTO event_speakers SELECT id, id FROM events",
    """
    INSERT INTO sessions (event_id, event_is_live, event_start_at, event_end_at, title,
        start_at, end_at, room_id, room_parallel, room_seats)
    SELECT events.id, is_live, events.start_at, events.end_at, 'Session ' || n,
        events.start_at + make_interval(hours => n), events.start_at + make_interval(hours => n + 1),
        rooms.id, rooms.allow_parallel, rooms.seats
    FROM events JOIN rooms ON rooms.id = events.id, generate_series(0, :sessions_each - 1) AS n
    ORDER BY events.id, n
    """,
    "INSERT INTO session_speakers (session_id, speaker_id, during) SELECT id, event_id, during FROM sessions",
)
"""Person n is signed in by sign-in n.

Event n is owned by person n and has room n, speaker n and the sessions from (n - 1) * 3 + 1.
"""


def claims(n: int) -> Claims:
    """Say what the token of person ``n`` claims."""
    return Claims(uid=n, sub=f"person{n}@example.com", ver=1, sid=n)


def empty(engine: Engine) -> None:
    """Leave no row."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        # The log of changes lets nobody empty it whose tables these are not.
        connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(text("ALTER TABLE audit_entries ENABLE TRIGGER USER"))


@dataclass(frozen=True)
class World:
    """How many rows there are; as many people as requests for the longest run, and more than events."""

    people: int
    events: int = 2_000

    @property
    def requests(self) -> int:
        """Count the requests that can be told apart: one a person, but for two who are needed elsewhere."""
        return self.people - 2

    @cached_property
    def password_hash(self) -> str:
        """Hash one password for everybody."""
        return PasswordHasher().hash(PASSWORD)

    def start_of(self, event: int) -> datetime:
        """Tell when an event begins."""
        return FIRST_DAY + timedelta(days=event % DAYS)

    def tokens(self, tokens: Tokens) -> Iterator[str]:
        """Yield the token of person 1, 2, and so on."""
        for n in range(1, self.people + 1):
            yield tokens.issue(claims(n))

    def fill(self, engine: Engine, more: str = "", *, count: int = 0) -> None:
        """Empty the database and fill it anew, with ``more`` rows for ``count`` requests that need them."""
        values = {
            "people": self.people,
            "events": self.events,
            "password_hash": self.password_hash,
            "first_day": FIRST_DAY,
            "days": DAYS,
            "sessions_each": SESSIONS_EACH,
            "count": count,
        }
        empty(engine)
        with engine.begin() as connection:
            for statement in (*ROWS, more) if more else ROWS:
                connection.execute(text(statement), values)
        tidy(engine)
