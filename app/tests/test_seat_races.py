"""Many who want seats at once, over real connections. Each race begins with its control, unprotected."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event as listen
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from app import crud, services
from app.core.database import Database, Store
from app.core.exceptions import Problem
from app.models import Event, Seat, Session, User
from app.models.constraints import explain
from app.schemas.registrations import Application
from app.schemas.sessions import OnAgendaConflict, SessionUpdate
from app.tests.conftest import migrated_database
from app.tests.factories import Factory, claims_of
from app.tests.routers.conftest import at
from app.tests.rush import ROUNDS, faults

CROWD = 20
PAUSE_SECONDS = 0.05

WITHOUT_RULES = """
    ALTER TABLE sessions DROP CONSTRAINT ck_sessions_seats_within_capacity;
    ALTER TABLE seats DROP CONSTRAINT ex_seats_attendee_is_in_one_place;
    DROP INDEX uq_seats_held;
    DROP TRIGGER seats_check_inserted ON seats;
"""

Work = Callable[[Database], object]


def take_protection_off(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """Lock no row, and hesitate before a seat is written, as if more were to be done."""
    if statement.startswith("INSERT INTO seats"):
        time.sleep(PAUSE_SECONDS)
    return re.sub(r" FOR (NO KEY )?UPDATE( OF \w+)?", "", statement), parameters


@pytest.fixture(scope="module")
def without_rules(server_url: str, worker: str) -> Iterator[Store]:
    """Yield connections that lock nothing, to a database whose rules have been taken away."""
    with migrated_database(server_url, f"mis_eventos_seats_{worker}") as url:
        store = Store(url, pool_size=2 * CROWD + 1, queue_size=0)
        with store.job() as db:
            db.execute(text(WITHOUT_RULES))
        listen.listen(store.engine, "before_cursor_execute", take_protection_off, retval=True)
        yield store
        store.close()


@pytest.fixture
def unprotected(without_rules: Store) -> Iterator[Store]:
    """Yield the same, emptied after the test."""
    yield without_rules
    with without_rules.job() as db:
        db.execute(text("TRUNCATE users CASCADE"))


def tally(store: Store, works: Sequence[Work]) -> Counter[str]:
    """Run each of ``works`` in a transaction of its own, all at once, and count what came of them."""
    everybody = Barrier(len(works))

    def outcome(work: Work) -> str:
        try:
            with store.job() as db:
                db.info["all"] = everybody
                db.connection()  # so that nobody comes late
                everybody.wait(30)
                work(db)
        except Problem as refusal:
            return refusal.slug()
        except IntegrityError as violation:
            problem = explain(violation)
            return problem.slug() if problem else repr(violation)
        except OperationalError as error:
            return type(error.orig).__name__
        return "done"

    with ThreadPoolExecutor(len(works)) as threads:
        return Counter(threads.map(outcome, works))


def take(db: Database, *wishes: tuple[User, Session]) -> None:
    outcomes = services.seats.take(db, [Application(claims_of(user), session.id) for user, session in wishes])
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            raise outcome


def cancel(db: Database, user: User, event: Event) -> None:
    services.registrations.cancel(db, user, event.id)


class Floor:
    """Two events of one owner at the same time, and people who are registered at both."""

    def __init__(self, store: Store, people: int = CROWD) -> None:
        self.store = store
        with store.job() as db:
            make = Factory(db)
            self.owner = make.user()
            self.events = [make.event(self.owner) for _ in range(2)]
            self.people = [make.registered(*self.events) for _ in range(people)]

    def session(self, event: int = 0, hour: float = 0, **fields: Any) -> Session:
        with self.store.job() as db:
            times = at(self.events[event], hour)
            return Factory(db).session(self.events[event], **{**times, **fields})

    def held(self, session: Session) -> int:
        with self.store.job() as db:
            query = "SELECT count(*) FROM seats WHERE session_id = :id AND given_up_at IS NULL"
            return int(db.execute(text(query), {"id": session.id}).scalar_one())

    def capacity(self, session: Session) -> int:
        with self.store.job() as db:
            query = "SELECT capacity_total FROM sessions WHERE id = :id"
            return int(db.execute(text(query), {"id": session.id}).scalar_one())

    def shrink(self, db: Database, session: Session, places: int) -> None:
        services.sessions.reschedule(db, self.owner, session.id, SessionUpdate(capacity_total=places))

    def move(self, db: Database, session: Session, hour: int) -> None:
        """Move a session; to every other hour, over the agendas of those in it."""
        choice: OnAgendaConflict = "release" if hour % 2 else "refuse"
        times = SessionUpdate(**at(self.events[0], hour))
        services.sessions.reschedule(db, self.owner, session.id, times, choice)


def test_a_stampede_takes_every_seat_and_none_twice(live: Store, unprotected: Store) -> None:
    def stampede(store: Store) -> tuple[Counter[str], int, list[str]]:
        floor = Floor(store)
        session = floor.session(own_capacity=5)
        works = [partial(lambda db, user: take(db, (user, session)), user=user) for user in floor.people]
        return tally(store, works), floor.held(session), faults(store)

    _, sold, broken = stampede(unprotected)
    assert (sold > 5, "session-oversold" in broken) == (True, True)
    assert stampede(live) == (Counter({"done": 5, "session-full": CROWD - 5}), 5, [])


def test_one_person_sits_in_one_of_two_sessions_at_once(live: Store, unprotected: Store) -> None:
    def press(store: Store) -> tuple[Counter[str], list[str]]:
        floor = Floor(store)
        both = floor.session(event=0), floor.session(event=1, hour=0.5)
        works = [
            partial(lambda db, user, session: take(db, (user, session)), user=user, session=session)
            for user in floor.people
            for session in both
        ]
        return tally(store, works), faults(store)

    assert "attendee-in-two-places" in press(unprotected)[1]
    for _ in range(ROUNDS):
        assert press(live) == (Counter({"done": CROWD, "agenda-conflict": CROWD}), [])


def test_who_cancels_while_taking_a_seat_keeps_none(live: Store, unprotected: Store) -> None:
    def both_at_once(store: Store) -> tuple[Counter[str], int, list[str]]:
        floor = Floor(store)
        session = floor.session()
        works = [
            work
            for user in floor.people
            for work in (
                partial(lambda db, user: take(db, (user, session)), user=user),
                partial(cancel, user=user, event=floor.events[0]),
            )
        ]
        return tally(store, works), floor.held(session), faults(store)

    _, left, broken = both_at_once(unprotected)
    assert (left > 0, "seat-without-place" in broken) == (True, True)
    for _ in range(ROUNDS):
        seen, left, broken = both_at_once(live)
        # Whoever cancelled first was not seated; all have cancelled.
        assert (set(seen) - {"done", "not-registered"}, left, broken) == (set(), 0, [])
        assert seen["done"] >= CROWD


def test_capacity_lowered_meanwhile_stays_above_the_seats_taken(live: Store, unprotected: Store) -> None:
    def sale(store: Store) -> tuple[set[str], tuple[int, int], list[str]]:
        floor = Floor(store)
        session = floor.session(own_capacity=CROWD)
        works: list[Work] = [
            partial(lambda db, user: take(db, (user, session)), user=user) for user in floor.people
        ]
        works.insert(3, partial(floor.shrink, session=session, places=5))
        seen = tally(store, works)
        return set(seen), (floor.held(session), floor.capacity(session)), faults(store)

    assert "session-oversold" in sale(unprotected)[2]
    for _ in range(ROUNDS):
        seen, places, broken = sale(live)
        assert (seen - {"done", "session-full", "capacity-below-confirmed"}, broken) == (set(), [])
        # Whoever came first: everybody has a seat, or the new capacity is filled.
        assert places in {(CROWD, CROWD), (5, 5)}


# Wide open is the moment between one seat and the next, so that nobody is spared by luck.
SLOW_SEATS = """
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(0.01);
        RETURN NEW;
    END $$;
    CREATE TRIGGER dawdle BEFORE INSERT OR UPDATE ON seats FOR EACH ROW EXECUTE FUNCTION dawdle();
"""


@pytest.fixture
def dawdling(live: Store) -> Iterator[Store]:
    """Yield real connections over which each seat takes its time."""
    with live.job() as db:
        db.execute(text(SLOW_SEATS))
    yield live
    with live.job() as db:
        db.execute(text("DROP FUNCTION dawdle CASCADE"))


def test_seats_taken_in_opposite_orders_do_not_deadlock(dawdling: Store) -> None:
    floor = Floor(dawdling)
    both = floor.session(event=0), floor.session(event=1, hour=0.5)

    def sit_one_by_one(db: Database, session: Session, order: Sequence[User]) -> None:
        first, second = (
            Seat(session_id=session.id, event_id=session.event_id, during=session.during, user_id=user.id)
            for user in order
        )
        crud.save(db, first)
        db.info["all"].wait(30)
        crud.save(db, second)

    pair = floor.people[:2]
    careless = [
        partial(sit_one_by_one, session=session, order=order)
        for session, order in zip(both, (pair, pair[::-1]), strict=True)
    ]
    assert tally(dawdling, careless) == Counter({"done": 1, "DeadlockDetected": 1})

    one, other = (floor.session(event, hour=2) for event in range(2))
    works = [
        partial(lambda db, wishes: take(db, *wishes), wishes=[(user, session) for user in order])
        for session, order in ((one, floor.people), (other, floor.people[::-1]))
    ]
    assert tally(dawdling, works) == Counter({"done": 1, "agenda-conflict": 1})


def test_sessions_of_the_same_people_moved_to_one_hour_do_not_deadlock(dawdling: Store) -> None:
    floor = Floor(dawdling)
    ana, luis, *_ = floor.people
    one, other = (floor.session(event, hour=event) for event in range(2))
    of_ana, of_luis = (floor.session(event, hour=2 + event) for event in range(2))
    with dawdling.job() as db:
        take(db, *((user, session) for user in floor.people for session in (one, other)))
        take(db, (ana, of_ana), (luis, of_luis))

    def move_one_by_one(db: Database, moves: Sequence[tuple[Session, int]]) -> None:
        (first, hour), (second, later) = moves
        crud.save(db, db.get_one(Session, first.id), at(floor.events[0], hour))
        db.info["all"].wait(30)
        crud.save(db, db.get_one(Session, second.id), at(floor.events[0], later))

    careless = [
        partial(move_one_by_one, moves=[(one, 8), (of_luis, 9)]),
        partial(move_one_by_one, moves=[(other, 9), (of_ana, 8)]),
    ]
    assert tally(dawdling, careless) == Counter({"done": 1, "DeadlockDetected": 1})
    works = [partial(floor.move, session=session, hour=4) for session in (one, other)]
    assert tally(dawdling, works) == Counter({"done": 1, "agenda-conflict": 1})


def test_those_who_sit_down_get_up_cancel_and_move_sessions_do_not_deadlock(live: Store) -> None:
    for _ in range(ROUNDS):
        floor = Floor(live)
        sessions = [floor.session(event, hour) for hour in range(2) for event in range(2)]
        works: list[Work] = [
            partial(lambda db, wishes: take(db, *wishes), wishes=[(user, session) for user in order])
            for order in (floor.people[:10], floor.people[9::-1])
            for session in sessions
        ]
        works += [
            partial(floor.move, session=session, hour=hour) for hour in range(3) for session in sessions
        ]
        works += [
            partial(services.seats.give_up, actor=user, session_id=session.id)
            for user, session in zip(floor.people, sessions, strict=False)
        ]
        works += [
            partial(cancel, user=user, event=event) for user in floor.people[5:8] for event in floor.events
        ]
        seen = tally(live, works)
        assert set(seen) <= {"done", "agenda-conflict", "not-registered", "already-registered"}
        assert (seen["done"] > 0, faults(live)) == (True, [])
