"""Suite ``schedule``: what the rules of a large schedule cost, and how soon it answers.

One client in this process calls the services, with a transaction and a durable commit for each call.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from statistics import median
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Engine, text

from app.core.database import Database, Store
from app.core.exceptions import RoomTaken
from app.models import User
from app.models.constraints import AGENDA_CONFLICT, ROOM_TAKEN, SPEAKER_BUSY
from app.schemas.moves import SessionMoves
from app.schemas.seats import AgendaEntry
from app.schemas.sessions import SessionPlan, SessionRead, SessionUpdate
from app.services import moves, seats, sessions
from bench.audit import audit, store_of
from bench.data import FIRST_DAY, SESSIONS_EACH
from bench.load import BrokenRunError
from bench.report import Report, Row
from bench.rig import Rig
from bench.statements import sent_by

T = TypeVar("T")
Shown = tuple[TypeAdapter[Any], Callable[[Database], Any]]

SESSIONS, ROOMS, SPEAKERS = 1_000, 50, 300
PLACE = 200  # in a room that holds this many people
CALLS, QUICK_CALLS = 100, 5
ROUNDS = 5
DAYS = 60
MILLISECONDS = 1e3
SLOWER, SOON, STATEMENTS = 1.3, 0.05, 3
SEATS = 200
ATTENDED = -(-SEATS // SESSIONS_EACH)  # each event on a day of its own

EXCLUSIONS = {
    ROOM_TAKEN: "sessions",
    SPEAKER_BUSY: "session_speakers",
    AGENDA_CONFLICT: "seats",
}

# Session n is in room n % 50 in its hour, n // 50, and two of the speakers are in it.
LARGE_EVENT = f"""
INSERT INTO events (id, name, start_at, end_at, capacity_total, created_by)
VALUES (:events + 1, 'Large', :first_day, :first_day + interval '{DAYS} days', 1000, 1);
INSERT INTO rooms (id, event_id, name, capacity)
SELECT :events + 1 + n, :events + 1, 'Large ' || n, {PLACE} FROM generate_series(0, {ROOMS - 1}) AS n;
INSERT INTO speakers (id, full_name, created_by)
SELECT :events + 1 + n, 'Speaker of the large one ' || n, 1 FROM generate_series(0, {SPEAKERS - 1}) AS n;
INSERT INTO sessions (id, event_id, event_is_live, event_start_at, event_end_at, title,
    start_at, end_at, room_id, room_parallel, room_seats)
SELECT :events * :sessions_each + 1 + n, events.id, is_live, events.start_at, events.end_at, 'Talk ' || n,
    events.start_at + make_interval(hours => n / {ROOMS}),
    events.start_at + make_interval(hours => n / {ROOMS} + 1), rooms.id, allow_parallel, seats
FROM generate_series(0, {SESSIONS - 1}) AS n
JOIN events ON events.id = :events + 1 JOIN rooms ON rooms.id = :events + 1 + n % {ROOMS};
INSERT INTO session_speakers (session_id, speaker_id, during)
SELECT sessions.id, :events + 1 + (sessions.id - :events * :sessions_each - 1 + shift) % {SPEAKERS}, during
FROM sessions CROSS JOIN (VALUES (0), ({SPEAKERS // 2})) AS second (shift)
WHERE event_id = :events + 1;
SELECT setval('sessions_id_seq', (SELECT max(id) FROM sessions));
INSERT INTO registrations (event_id, user_id, status, ticket_code)
SELECT n, 2, 'CONFIRMED', 'attends-' || n FROM generate_series(1, {ATTENDED}) AS n;
INSERT INTO seats (session_id, event_id, user_id, during)
SELECT id, event_id, 2, during FROM sessions WHERE event_id <= {ATTENDED} ORDER BY id LIMIT {SEATS}
"""


@dataclass(frozen=True)
class Planner:
    """Somebody who plans the large event."""

    store: Store
    actor: User
    event_id: int
    start_at: datetime
    first_session: int
    first_speaker: int

    def reschedule(self, n: int, day: int) -> None:
        """Move session ``n`` to the same hour of another day, where nobody is."""
        command = SessionUpdate.model_validate(self._times(n, day))
        with self.store.job() as db:
            sessions.reschedule(db, self.actor, self.first_session + n, command)

    def schedule(self, n: int, day: int) -> None:
        """Plan another session like session ``n`` on a day on which nobody is anywhere."""
        with self.store.job() as db:
            sessions.schedule(db, self.actor, self.event_id, self._plan(n, day))

    def clash(self, n: int) -> int:
        """Plan a session where session ``n`` is, and count what is suggested instead.

        Raises:
            BrokenRunError: it is not refused.

        """
        try:
            with self.store.job() as db:
                sessions.schedule(db, self.actor, self.event_id, self._plan(n, 0))
        except RoomTaken as refusal:
            return len(refusal.members["suggestions"])
        message = "a session was planned where another one is"
        raise BrokenRunError(message)

    def move_all(self, day: int, *, dry_run: bool) -> None:
        """Move all sessions to the same hour of another day."""
        wanted = [
            {"session_id": self.first_session + n, "start_at": self._times(n, day)["start_at"]}
            for n in range(SESSIONS)
        ]
        plan = SessionMoves.model_validate({"event_id": self.event_id, "moves": wanted})
        with self.store.job() as db:
            moves.move(db, self.actor, plan, dry_run=dry_run)

    def read(self, db: Database) -> Sequence[Any]:
        """Return the whole schedule."""
        return sessions.list_for_event(db, None, self.event_id)

    def _times(self, n: int, day: int) -> dict[str, datetime]:
        start_at = self.start_at + timedelta(days=day, hours=n // ROOMS)
        return {"start_at": start_at, "end_at": start_at + timedelta(hours=1)}

    def _plan(self, n: int, day: int) -> SessionPlan:
        speakers = [self.first_speaker + (n + shift) % SPEAKERS for shift in (0, SPEAKERS // 2)]
        return SessionPlan.model_validate(
            {
                "title": f"Talk {n}",
                **self._times(n, day),
                "room": f"Large {n % ROOMS}",
                "speaker_ids": speakers,
            }
        )


def run(rig: Rig) -> Report:
    """Measure all of it on one database, with an event of a thousand sessions."""
    report = Report.of_pairs(
        f"schedule: {SESSIONS:,} sessions, {ROOMS} rooms, {SPEAKERS} speakers; medians of single calls"
    )
    rig.world.fill(rig.engine, LARGE_EVENT)
    try:
        with closing(store_of(rig.engine)) as store:
            rows = list(_rows(rig, store))
        audit(rig.engine, least=ATTENDED, most=ATTENDED)
    except BrokenRunError as error:
        return report.end_broken("schedule", error)
    report.add(rows, judged=not rig.quick)
    report.table.caption = "afterwards all invariants held"
    return report


def _rows(rig: Rig, store: Store) -> Iterator[Row]:
    with store.job() as db:
        actor, attendee = db.get_one(User, 1), db.get_one(User, 2)
    events = rig.world.events
    first = events * SESSIONS_EACH + 1
    start_at = FIRST_DAY
    planner = Planner(store, actor, events + 1, start_at, first, events + 1)
    calls = QUICK_CALLS if rig.quick else CALLS
    yield from _suggestions(planner, calls)
    whole: Shown = (TypeAdapter(list[SessionRead]), planner.read)
    yield from _reading("the schedule", store, whole, calls, STATEMENTS)
    own: Shown = (TypeAdapter(list[AgendaEntry]), lambda db: seats.list_agenda(db, attendee))
    yield from _reading(f"an agenda of {SEATS} sessions", store, own, calls, 1)
    yield from _rules(rig, planner, calls)
    yield from _together(planner)


def _rules(rig: Rig, planner: Planner, calls: int) -> Iterator[Row]:
    """Move and create with the exclusions and without them, in turns."""
    took: dict[tuple[str, bool], list[float]] = {}
    days = count(1)
    works: dict[str, Callable[[int, int], None]] = {
        "a session moved": planner.reschedule,
        "a session created": planner.schedule,
    }
    for _ in range(1 if rig.quick else ROUNDS):
        for held in (True, False):
            with _exclusions(rig.engine, held=held):
                for name, work in works.items():
                    day = next(days)
                    found = [_time(partial(work, n, day))[0] for n in range(calls)]
                    took.setdefault((name, held), []).extend(found)
    for name in works:
        ours, other = (median(took[name, held]) for held in (True, False))
        yield Row(f"{name} : without exclusions", _ms(ours), _ms(other), ours / other, most=SLOWER)


@contextmanager
def _exclusions(engine: Engine, *, held: bool) -> Iterator[None]:
    """Take the exclusions off, unless they are to be held, and put them back."""
    if held:
        yield
        return
    with engine.begin() as connection:
        definition = text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name")
        known = {name: connection.scalar(definition, {"name": name}) for name in EXCLUSIONS}
        for name, table in EXCLUSIONS.items():
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            for name, table in EXCLUSIONS.items():
                connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {name} {known[name]}"))


def _suggestions(planner: Planner, calls: int) -> Iterator[Row]:
    planner.clash(0)  # what is done once in a process
    spent = []
    for n in range(calls):
        took, suggested = _time(partial(planner.clash, n * 7))
        spent.append(took)
        if suggested == 0:
            message = "nothing was suggested"
            raise BrokenRunError(message)
    yield Row(
        "a clash refused, with suggestions : its bound",
        _ms(median(spent)),
        _ms(SOON),
        median(spent) / SOON,
        most=1,
    )
    yield Row(
        "the slowest of these : the median", _ms(max(spent)), _ms(median(spent)), max(spent) / median(spent)
    )


def _reading(label: str, store: Store, shown: Shown, calls: int, statements: int) -> Iterator[Row]:
    """Read as JSON, and beside it run the same statements and look at nothing."""
    adapter, read = shown
    sent = sent_by(store, read)

    def whole() -> int:
        with store.job() as db:
            return len(adapter.dump_json(adapter.validate_python(read(db))))

    def bare() -> None:
        with store.job() as db:
            cursor = db.connection().connection.cursor()
            for statement, parameters in sent:
                cursor.execute(statement, parameters)
                cursor.fetchall()

    whole()
    ours, other = (median(_time(work)[0] for _ in range(calls)) for work in (whole, bare))
    yield Row(f"{label} as JSON : its SQL alone", _ms(ours), _ms(other), ours / other)
    yield Row(f"statements for {label}", str(len(sent)), str(statements), len(sent) / statements, most=1)


def _together(planner: Planner) -> Iterator[Row]:
    rehearsed, _ = _time(lambda: planner.move_all(DAYS - 1, dry_run=True))
    moved, _ = _time(lambda: planner.move_all(DAYS - 1, dry_run=False))
    yield Row(f"{SESSIONS:,} moved together : a dry run", _ms(moved), _ms(rehearsed), moved / rehearsed)


def _time(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def _ms(seconds: float) -> str:
    return f"{seconds * MILLISECONDS:.1f} ms"
