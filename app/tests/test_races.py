"""Races over real connections. Each begins with its control: the same storm where nothing protects."""

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm.exc import StaleDataError

from app import crud, services
from app.core.database import Database, Store
from app.core.exceptions import (
    AlreadyRegistered,
    CapacityBelowConfirmed,
    EventFull,
    Problem,
    RoomTaken,
    SessionOutsideEvent,
    SpeakerBusy,
)
from app.core.security import Tokens
from app.core.settings import PROJECT
from app.crud.sessions import Attempt
from app.models import Event, Registration, Room, Session, Speaker, User, session_speakers
from app.models.constraints import explain
from app.models.enums import RegistrationStatus, TeamRole
from app.models.registration import new_ticket_code
from app.schemas.events import EventUpdate
from app.schemas.moves import SessionMoves
from app.schemas.registrations import Application
from app.schemas.rooms import RoomUpdate
from app.schemas.sessions import SessionPlan, SessionUpdate
from app.schemas.speakers import SpeakerUpdate
from app.tests.conftest import PREFIX, SECRET, migrated_database
from app.tests.factories import HOUR, Factory, claims_of

T = TypeVar("T")
Work = Callable[[Database], object]

CROWD = 40

WITHOUT_RULES = """
    ALTER TABLE events DROP CONSTRAINT ck_events_confirmed_within_capacity;
    DROP TRIGGER registrations_count_inserted ON registrations;
    DROP TRIGGER registrations_count_updated ON registrations;
    DROP TRIGGER events_guard_counters_on_update ON events;
    DROP INDEX uq_registrations_live;
    ALTER TABLE sessions DROP CONSTRAINT ex_sessions_room_holds_one_session;
    ALTER TABLE sessions DROP CONSTRAINT ck_sessions_inside_its_event;
    ALTER TABLE sessions DROP CONSTRAINT fk_sessions_event_id_events;
    ALTER TABLE session_speakers DROP CONSTRAINT ex_session_speakers_speaker_is_in_one_place;
"""


@pytest.fixture(scope="module")
def without_rules(server_url: str, worker: str) -> Iterator[Store]:
    """Yield connections to a database whose rules have been taken away."""
    with migrated_database(server_url, f"mis_eventos_unprotected_{worker}") as url:
        store = Store(url, pool_size=CROWD, queue_size=0)
        with store.job() as db:
            db.execute(text(WITHOUT_RULES))
        yield store
        store.close()


@pytest.fixture
def unprotected(without_rules: Store) -> Iterator[Store]:
    """Yield the same, emptied after the test, for its control."""
    yield without_rules
    with without_rules.job() as db:
        db.execute(text("TRUNCATE users CASCADE"))


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Do ``work`` for each number in a thread of its own, all starting together."""
    start = Barrier(count)

    def run(number: int) -> T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def tally(store: Store, works: Sequence[Work]) -> Counter[str]:
    """Run each of ``works`` in a transaction of its own, all at once, and count what came of them."""

    everybody = Barrier(len(works))

    def outcome(number: int) -> str:
        try:
            with store.job() as db:
                db.info["all"] = everybody
                works[number](db)
        except Problem as refusal:
            return refusal.slug()
        except IntegrityError as violation:
            problem = explain(violation)
            return problem.slug() if problem else repr(violation)
        except OperationalError as error:
            return type(error.orig).__name__
        except StaleDataError as error:
            return type(error).__name__
        return "done"

    return Counter(at_once(len(works), outcome))


def wait_for_all(db: Database) -> None:
    """Go on when everybody has come as far: all have looked, and nobody has written."""
    db.info["all"].wait(30)


def number(store: Store, query: str, **values: Any) -> int:
    with store.job() as db:
        return int(db.execute(text(query), values).scalar_one())


# Places


def crowd(store: Store, count: int = CROWD) -> list[User]:
    with store.job() as db:
        make = Factory(db)
        return [make.user() for _ in range(count)]


def an_event(store: Store, owner: User | None = None, **fields: Any) -> Event:
    with store.job() as db:
        return Factory(db).event(owner, **fields)


def confirmed(store: Store, event: Event) -> int:
    query = "SELECT count(*) FROM registrations WHERE event_id = :event AND status = 'CONFIRMED'"
    return number(store, query, event=event.id)


def counted(store: Store, event: Event) -> int:
    return number(store, "SELECT confirmed_count FROM events WHERE id = :event", event=event.id)


def capacity(store: Store, event: Event) -> int:
    return number(store, "SELECT capacity_total FROM events WHERE id = :event", event=event.id)


def take(db: Database, actor: User, event_id: int) -> None:
    """Insert a registration and look at nothing."""
    db.add(
        Registration(
            event_id=event_id,
            user_id=actor.id,
            status=RegistrationStatus.CONFIRMED,
            ticket_code=new_ticket_code(),
        )
    )
    db.flush()


def look_then_register(db: Database, actor: User, event_id: int) -> None:
    """Register the classic way: count, then insert."""
    event = db.get_one(Event, event_id)
    query = text("SELECT count(*) FROM registrations WHERE event_id = :event AND status = 'CONFIRMED'")
    taken = db.execute(query, {"event": event_id}).scalar_one()
    twice = bool(crud.admissions.list_live(db, {(event_id, actor.id)}))
    wait_for_all(db)
    if twice:
        raise AlreadyRegistered
    if taken >= event.capacity_total:
        raise EventFull
    take(db, actor, event_id)


def register(db: Database, actor: User, event_id: int) -> None:
    """Register as the service does, in a batch of one."""
    (outcome,) = services.registrations.admit(db, [Application(claims_of(actor), event_id)])
    if isinstance(outcome, Problem):
        raise outcome


@pytest.mark.parametrize("places", [1, 10])
def test_a_stampede_never_oversells(live: Store, unprotected: Store, places: int) -> None:
    def stampede(store: Store, take_place: Callable[..., object]) -> tuple[Counter[str], int, int]:
        event, users = an_event(store, capacity_total=places), crowd(store)
        seen = tally(store, [partial(take_place, actor=user, event_id=event.id) for user in users])
        return seen, confirmed(store, event), counted(store, event)

    _, sold, _ = stampede(unprotected, look_then_register)
    assert sold > places
    kept = (Counter({"done": places, "event-full": CROWD - places}), places, places)
    assert stampede(live, look_then_register) == kept
    assert stampede(live, register) == kept


def test_one_person_who_presses_twenty_times_holds_one_place(live: Store, unprotected: Store) -> None:
    def press(store: Store, take_place: Callable[..., object]) -> tuple[Counter[str], int]:
        event, (user,) = an_event(store), crowd(store, 1)
        return tally(store, [partial(take_place, actor=user, event_id=event.id)] * 20), confirmed(
            store, event
        )

    _, held = press(unprotected, look_then_register)
    assert held > 1
    once = (Counter({"done": 1, "already-registered": 19}), 1)
    assert press(live, look_then_register) == once
    assert press(live, register) == once


def test_cancelling_twenty_times_frees_one_place(live: Store, unprotected: Store) -> None:
    def look_then_cancel(db: Database, actor: User, event_id: int) -> None:
        mine = text("SELECT id FROM registrations WHERE user_id = :user AND status = 'CONFIRMED'")
        registration_id = db.execute(mine, {"user": actor.id}).scalar()
        wait_for_all(db)
        if registration_id is not None:
            cancel = "UPDATE registrations SET status = 'CANCELLED' WHERE id = :id"
            db.execute(text(cancel), {"id": registration_id})
            free = "UPDATE events SET confirmed_count = confirmed_count - 1 WHERE id = :id"
            db.execute(text(free), {"id": event_id})

    def press(store: Store, cancel: Callable[..., object]) -> tuple[Counter[str], int]:
        event, (user,) = an_event(store), crowd(store, 1)
        with store.job() as db:
            take(db, user, event.id)
        before = counted(store, event)
        seen = tally(store, [partial(cancel, actor=user, event_id=event.id)] * 20)
        return seen, before - counted(store, event)

    _, freed = press(unprotected, look_then_cancel)
    assert freed > 1
    assert press(live, services.registrations.cancel) == (Counter({"done": 1, "not-registered": 19}), 1)


def test_the_counter_is_the_number_of_rows_after_a_storm_of_registering_and_cancelling(
    live: Store, unprotected: Store
) -> None:
    def register_and_count(db: Database, actor: User, event_id: int) -> None:
        before = db.get_one(Event, event_id).confirmed_count
        wait_for_all(db)
        take(db, actor, event_id)
        count = "UPDATE events SET confirmed_count = :count WHERE id = :id"
        db.execute(text(count), {"count": before + 1, "id": event_id})

    def storm(store: Store, register: Callable[..., object], rounds: int) -> list[tuple[int, int]]:
        event, users = an_event(store, capacity_total=CROWD // 2), crowd(store)
        seen = []
        for turn in range(rounds):
            # In every second round half of the crowd gives back what the other half wants.
            leaving = users[: CROWD // 2] if turn % 2 else []
            works = [
                partial(
                    services.registrations.cancel if user in leaving else register,
                    actor=user,
                    event_id=event.id,
                )
                for user in users
            ]
            tally(store, works)
            seen.append((counted(store, event), confirmed(store, event)))
        return seen

    ((counter, rows),) = storm(unprotected, register_and_count, 1)
    assert counter != rows
    for counter, rows in storm(live, register, 6):
        assert counter == rows <= CROWD // 2


def test_capacity_lowered_meanwhile_stays_above_what_is_sold(live: Store, unprotected: Store) -> None:
    lowered = 10

    def look_then_lower(db: Database, actor: User, event_id: int) -> None:
        del actor
        event = db.get_one(Event, event_id)
        query = text("SELECT count(*) FROM registrations WHERE event_id = :event")
        taken = db.execute(query, {"event": event_id}).scalar_one()
        wait_for_all(db)
        if taken > lowered:
            raise CapacityBelowConfirmed
        event.capacity_total = lowered
        db.flush()

    def lower(db: Database, actor: User, event_id: int) -> None:
        services.events.edit(db, actor, event_id, EventUpdate(capacity_total=lowered))

    def sale(
        store: Store, register: Callable[..., object], edit: Callable[..., object]
    ) -> tuple[Counter[str], int, int]:
        owner, *users = crowd(store)
        event = an_event(store, owner, capacity_total=CROWD)
        works = [partial(register, actor=user, event_id=event.id) for user in users]
        works.insert(CROWD // 4, partial(edit, actor=owner, event_id=event.id))
        return tally(store, works), confirmed(store, event), capacity(store, event)

    _, sold, places = sale(unprotected, look_then_register, look_then_lower)
    assert sold > places
    for take_place, edit in (
        (look_then_register, look_then_lower),
        (register, lower),
    ):
        seen, sold, places = sale(live, take_place, edit)
        assert sold <= places
        assert set(seen) <= {"done", "event-full", "capacity-below-confirmed"}
        # Whoever came first: all are served at the old capacity, or the new one is filled.
        assert (sold, places) in {(CROWD - 1, CROWD), (lowered, lowered)}


def test_places_go_on_selling_while_a_session_is_planned(live: Store) -> None:
    def sell_while(lock: Callable[[Database, int], object]) -> str:
        event, (user,) = an_event(live), crowd(live, 1)
        with live.job() as planner, live.job() as buyer:
            lock(planner, event.id)
            buyer.execute(text("SET LOCAL lock_timeout = '500ms'"))
            try:
                register(buyer, user, event.id)
            except OperationalError as error:
                buyer.rollback()
                return type(error.orig).__name__
        return "done"

    assert sell_while(crud.events.lock) == "LockNotAvailable"
    assert sell_while(crud.events.lock_window) == "done"


# Rooms, speakers, times


def clashes(store: Store, column: str) -> int:
    """Count the pairs that hold the same room or the same speaker at the same time."""
    table, key = ("sessions", "id") if column == "room_id" else ("session_speakers", "session_id")
    return number(
        store,
        f"SELECT count(*) FROM {table} AS a JOIN {table} AS b"
        f" ON a.{column} = b.{column} AND a.{key} < b.{key} AND a.during && b.during",
    )


def planned(event: Event, room: Room | None, speaker: Speaker | None) -> SessionPlan:
    return SessionPlan(
        title="Talk",
        start_at=event.start_at,
        end_at=event.start_at + HOUR,
        room=room.name if room else None,
        speaker_ids=[speaker.id] if speaker else [],
    )


def look_then_plan(
    db: Database, actor: User, event: Event, room: Room | None = None, speaker: Speaker | None = None
) -> None:
    """Plan the classic way: look who is in the way, then insert."""
    del actor
    speaker_ids = [speaker.id] if speaker else []
    attempt = Attempt(None, event.start_at, event.start_at + HOUR, room.id if room else None, speaker_ids)
    in_room = crud.sessions.list_in_room_during(db, attempt) if room else []
    of_speaker = crud.sessions.list_of_speakers_during(db, attempt)
    wait_for_all(db)
    if in_room:
        raise RoomTaken
    if of_speaker:
        raise SpeakerBusy
    Factory(db).session(event, room=room, speakers=(speaker,) if speaker else ())


def plan(
    db: Database, actor: User, event: Event, room: Room | None = None, speaker: Speaker | None = None
) -> None:
    services.sessions.schedule(db, actor, event.id, planned(event, room, speaker))


def test_of_many_sessions_for_one_room_one_gets_it(live: Store, unprotected: Store) -> None:
    def rush(store: Store, put: Callable[..., object]) -> tuple[Counter[str], int]:
        (owner,) = crowd(store, 1)
        event = an_event(store, owner)
        with store.job() as db:
            room = Factory(db).room(event)
        works = [partial(put, actor=owner, event=event, room=room)] * 10
        return tally(store, works), clashes(store, "room_id")

    assert rush(unprotected, look_then_plan)[1] > 0
    outcomes, together = rush(live, look_then_plan)
    assert (outcomes["done"], together) == (1, 0)
    assert rush(live, plan) == (Counter({"done": 1, "room-taken": 9}), 0)


ORGANISERS = 200


def test_of_two_hundred_organisers_who_want_one_room_one_gets_it(live: Store, unprotected: Store) -> None:
    def fight(store: Store, put: Callable[..., object]) -> tuple[Counter[str], int]:
        (owner,) = crowd(store, 1)
        event = an_event(store, owner)
        with store.job() as db:
            make = Factory(db)
            room = make.room(event)
            organisers = [make.member(event, TeamRole.MANAGER) for _ in range(ORGANISERS)]
        works = [partial(put, actor=organiser, event=event, room=room) for organiser in organisers]
        # A connection for each of them, all at the same database.
        url = store.engine.url.render_as_string(hide_password=False)
        with closing(Store(url, pool_size=ORGANISERS, queue_size=0)) as many:
            return tally(many, works), clashes(store, "room_id")

    assert fight(unprotected, look_then_plan)[1] > ORGANISERS
    assert fight(live, plan) == (Counter({"done": 1, "room-taken": ORGANISERS - 1}), 0)


def test_a_room_that_many_name_at_once_is_made_once(live: Store) -> None:
    (owner,) = crowd(live, 1)
    event = an_event(live, owner)

    def put(db: Database, hour: int) -> None:
        start_at = event.start_at + hour * HOUR
        words = SessionPlan(title="Talk", start_at=start_at, end_at=start_at + HOUR, room="Aula")
        services.sessions.schedule(db, owner, event.id, words)

    assert tally(live, [partial(put, hour=hour) for hour in range(20)]) == Counter({"done": 20})
    assert number(live, "SELECT count(*) FROM rooms") == 1


def test_a_speaker_wanted_by_many_events_at_once_is_in_one(live: Store, unprotected: Store) -> None:
    def rush(store: Store, put: Callable[..., object]) -> tuple[Counter[str], int]:
        (owner,) = crowd(store, 1)
        events = [an_event(store, owner) for _ in range(10)]
        with store.job() as db:
            speaker = Factory(db).speaker(owner)
        works = [partial(put, actor=owner, event=event, speaker=speaker) for event in events]
        return tally(store, works), clashes(store, "speaker_id")

    assert rush(unprotected, look_then_plan)[1] > 0
    outcomes, together = rush(live, look_then_plan)
    assert (outcomes["done"], together) == (1, 0)
    assert rush(live, plan) == (Counter({"done": 1, "speaker-busy": 9}), 0)


def test_an_event_that_shrinks_leaves_no_session_outside(live: Store, unprotected: Store) -> None:
    def look_then_shrink(db: Database, actor: User, event: Event) -> None:
        del actor
        start_at = event.start_at + HOUR
        outside = crud.sessions.list_outside(db, event.id, start_at, event.end_at)
        wait_for_all(db)
        if outside:
            raise SessionOutsideEvent
        db.get_one(Event, event.id).start_at = start_at
        db.flush()

    def shrink(db: Database, actor: User, event: Event) -> None:
        services.events.edit(db, actor, event.id, EventUpdate(start_at=event.start_at + HOUR))

    def rush(store: Store, put: Callable[..., object], edit: Callable[..., object]) -> tuple[set[str], int]:
        (owner,) = crowd(store, 1)
        event = an_event(store, owner)
        works = [partial(put, actor=owner, event=event)] * 10
        works.insert(5, partial(edit, actor=owner, event=event))
        seen = tally(store, works)
        outside = """
            SELECT count(*) FROM sessions JOIN events ON events.id = event_id
            WHERE sessions.start_at < events.start_at OR sessions.end_at > events.end_at
        """
        return set(seen), number(store, outside)

    assert rush(unprotected, look_then_plan, look_then_shrink)[1] > 0
    outcomes, outside = rush(live, look_then_plan, look_then_shrink)
    assert (outcomes - {"done", "conflict", "session-outside-event"}, outside) == (set(), 0)
    for _ in range(5):
        assert rush(live, plan, shrink) == ({"done", "session-outside-event"}, 0)


# Deadlocks


TOUCH_BY_ROW = """
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE events SET updated_at = now() WHERE id = NEW.event_id;
        PERFORM pg_sleep(0.1);
        RETURN NULL;
    END $$;
    CREATE TRIGGER touch AFTER UPDATE ON registrations FOR EACH ROW EXECUTE FUNCTION touch();
"""


def test_writers_of_many_events_in_opposite_orders_do_not_deadlock(live: Store, unprotected: Store) -> None:
    def writers(store: Store, count: int) -> tuple[list[User], list[Event]]:
        users, events = crowd(store, count), [an_event(store) for _ in range(3)]
        for turn, user in enumerate(users):
            with store.job() as db:
                for event in events[:: 1 if turn % 2 else -1]:
                    take(db, user, event.id)
        return users, events

    def rewrite(db: Database, user: User, status: str) -> None:
        change = "UPDATE registrations SET status = :status WHERE user_id = :user"
        db.execute(text(change), {"status": status, "user": user.id})

    users, _ = writers(unprotected, 2)
    with unprotected.job() as db:
        db.execute(text(TOUCH_BY_ROW))
    stuck = tally(unprotected, [partial(rewrite, user=user, status="WAITLISTED") for user in users])
    with unprotected.job() as db:
        db.execute(text("DROP FUNCTION touch CASCADE"))
    assert stuck == Counter({"done": 1, "DeadlockDetected": 1})

    users, events = writers(live, 20)
    for status, sold in (("WAITLISTED", 0), ("CONFIRMED", 20)) * 5:
        works = [partial(rewrite, user=user, status=status) for user in users]
        assert tally(live, works) == Counter({"done": 20})
        assert [counted(live, event) for event in events] == [sold] * 3


def test_those_who_change_a_room_and_those_who_move_its_sessions_do_not_deadlock(live: Store) -> None:
    (owner,) = crowd(live, 1)
    event = an_event(live, owner)
    with live.job() as db:
        make = Factory(db)
        room, other = make.room(event, name="One"), make.room(event, name="Other")
        session = make.session(event, room=room)

    def lock_both(db: Database, order: Sequence[tuple[type[Any], int]]) -> None:
        (first, second) = order
        db.get(*first, with_for_update=True)
        wait_for_all(db)
        db.get(*second, with_for_update=True)

    both = [(Room, room.id), (Session, session.id)]
    careless = tally(live, [partial(lock_both, order=both), partial(lock_both, order=both[::-1])])
    assert careless == Counter({"done": 1, "DeadlockDetected": 1})

    def resize(db: Database, seats: int) -> None:
        services.rooms.edit(db, owner, room.id, RoomUpdate(capacity=seats, allow_parallel=seats % 2 == 0))

    def move(db: Database, name: str) -> None:
        services.sessions.reschedule(db, owner, session.id, SessionUpdate(room=name))

    works: list[Work] = [
        work
        for seats in range(10, 20)
        for work in (partial(resize, seats=seats), partial(move, name=(room, other)[seats % 2].name))
    ]
    for _ in range(3):
        assert tally(live, works) == Counter({"done": 20})


def test_those_who_edit_one_speaker_take_turns(live: Store) -> None:
    (owner,) = crowd(live, 1)
    with live.job() as db:
        speaker = Factory(db).speaker(owner)

    def look_then_edit(db: Database, bio: str) -> None:
        read = db.get_one(Speaker, speaker.id)
        wait_for_all(db)
        crud.save(db, read, {"bio": bio})

    def edit(db: Database, bio: str) -> None:
        services.speakers.edit(db, owner, speaker.id, SpeakerUpdate(bio=bio))

    careless = tally(live, [partial(look_then_edit, bio=str(turn)) for turn in range(10)])
    assert careless == Counter({"done": 1, "StaleDataError": 9})
    assert tally(live, [partial(edit, bio=str(turn)) for turn in range(10)]) == Counter({"done": 10})


# Wide open is the moment between one speaker and the next, so that nobody is spared by luck.
SLOW_LINKS = """
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(0.1);
        RETURN NEW;
    END $$;
    CREATE TRIGGER dawdle BEFORE INSERT ON session_speakers FOR EACH ROW EXECUTE FUNCTION dawdle();
"""


SLOW_SEATS = SLOW_LINKS.replace("INSERT ON session_speakers", "UPDATE ON seats")


def test_planners_who_name_the_same_speakers_in_opposite_orders_do_not_deadlock(live: Store) -> None:
    (owner,) = crowd(live, 1)
    events = [an_event(live, owner) for _ in range(10)]
    with live.job() as db:
        make = Factory(db)
        both = [make.speaker(owner).id for _ in range(2)]
        sessions = [make.session(event) for event in events[:2]]

    def name_both(db: Database, session: Session, order: Sequence[int]) -> None:
        first, second = (
            {"session_id": session.id, "speaker_id": key, "during": session.during} for key in order
        )
        db.execute(session_speakers.insert().values(first))
        wait_for_all(db)
        db.execute(session_speakers.insert().values(second))

    works: list[Work] = [
        partial(name_both, session=sessions[0], order=both),
        partial(name_both, session=sessions[1], order=both[::-1]),
    ]
    assert tally(live, works) == Counter({"done": 1, "DeadlockDetected": 1})

    def put(db: Database, event: Event, order: Sequence[int]) -> None:
        start_at = event.start_at + 2 * HOUR
        words = SessionPlan(title="Both", start_at=start_at, end_at=start_at + HOUR, speaker_ids=list(order))
        services.sessions.schedule(db, owner, event.id, words)

    with live.job() as db:
        db.execute(text(SLOW_LINKS))
    works = [
        partial(put, event=event, order=both[:: 1 if turn % 2 else -1]) for turn, event in enumerate(events)
    ]
    seen = tally(live, works)
    with live.job() as db:
        db.execute(text("DROP FUNCTION dawdle CASCADE"))
    assert seen == Counter({"done": 1, "speaker-busy": 9})


def test_those_who_move_the_same_sessions_in_opposite_orders_do_not_deadlock(live: Store) -> None:
    (owner,) = crowd(live, 1)
    event = an_event(live, owner)
    with live.job() as db:
        make = Factory(db)
        rooms, speaker = [make.room(event) for _ in range(3)], make.speaker(owner)
        sessions = [
            make.session(
                event,
                room=room,
                speakers=(speaker,),
                start_at=event.start_at + hour * HOUR,
                end_at=event.start_at + (hour + 1) * HOUR,
            )
            for hour, room in enumerate(rooms)
        ]

    def touch_both(db: Database, order: Sequence[Session]) -> None:
        first, second = order
        move = "UPDATE sessions SET end_at = end_at - interval '1 minute' WHERE id = :id"
        db.execute(text(move), {"id": first.id})
        wait_for_all(db)
        db.execute(text(move), {"id": second.id})

    careless: list[Work] = [
        partial(touch_both, order=sessions[:2]),
        partial(touch_both, order=sessions[1::-1]),
    ]
    assert tally(live, careless) == Counter({"done": 1, "DeadlockDetected": 1})

    def go_round(db: Database, order: int) -> None:
        places = [
            {"session_id": session.id, "room": rooms[place - 2].name}
            for place, session in enumerate(sessions)
        ]
        new_rooms = [{**place, "room": f"{place['room']} of {order // 4}"} for place in places]
        moves = (places, new_rooms)[order % 2][:: 1 if order % 4 > 1 else -1]
        plan = SessionMoves.model_validate({"event_id": event.id, "moves": moves})
        services.moves.move(db, owner, plan, dry_run=False)

    def move_one(db: Database, which: int) -> None:
        command = SessionUpdate(room=rooms[which].name, speaker_ids=[speaker.id])
        services.sessions.reschedule(db, owner, sessions[which - 1].id, command)

    works: list[Work] = [
        *(partial(go_round, order=order) for order in range(12)),
        *(partial(move_one, which=which) for which in (0, 1, 2)),
        *(partial(move_one, which=which) for which in (2, 1, 0)),
    ]
    for _ in range(3):
        assert tally(live, works) == Counter({"done": len(works)})


def test_those_who_move_sessions_with_the_same_attendees_do_not_deadlock(live: Store) -> None:
    (owner,) = crowd(live, 1)
    events = [an_event(live, owner) for _ in range(2)]
    with live.job() as db:
        make = Factory(db)
        attendees = [make.registered(*events) for _ in range(2)]
        sessions = [
            make.session(event, start_at=start_at, end_at=start_at + HOUR)
            for event, start_at in zip(events, (events[0].start_at, events[0].start_at + HOUR), strict=True)
        ]
        for session, order in zip(sessions, (attendees, attendees[::-1]), strict=True):
            for attendee in order:
                make.seat(session, attendee)
        db.execute(text(SLOW_SEATS))

    def just_move(db: Database, session: Session, hour: int) -> None:
        move = "UPDATE sessions SET start_at = :at, end_at = :at + interval '1 hour' WHERE id = :id"
        db.execute(text(move), {"at": session.event_start_at + hour * HOUR, "id": session.id})

    def move_one(db: Database, session: Session, hour: int) -> None:
        start_at = session.event_start_at + hour * HOUR
        command = SessionUpdate(start_at=start_at, end_at=start_at + HOUR)
        services.sessions.reschedule(db, owner, session.id, command)

    def move_some(db: Database, session: Session, hour: int) -> None:
        moves = [{"session_id": session.id, "start_at": session.event_start_at + hour * HOUR}]
        plan = SessionMoves.model_validate({"event_id": session.event_id, "moves": moves})
        services.moves.move(db, owner, plan, dry_run=False)

    outcomes = []
    for hour, move in ((4, just_move), (6, move_one), (8, move_some)):
        works: list[Work] = [partial(move, session=session, hour=hour) for session in sessions]
        outcomes.append(tally(live, works))
    with live.job() as db:
        db.execute(text("DROP FUNCTION dawdle CASCADE"))
    assert outcomes == [
        Counter({"done": 1, "DeadlockDetected": 1}),
        Counter({"done": 1, "agenda-conflict": 1}),
        Counter({"done": 1, "schedule-conflict": 1}),
    ]


# Over HTTP, against real workers


@pytest.fixture(scope="module")
def served(live_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the application with two workers of two connections each, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "ENV": "dev",
        "DATABASE_URL": live_url,
        "SECRET_KEY": SECRET,
        "DB_POOL_SIZE": "2",
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--workers", "2", "--port", str(port)]
    log = tmp_path_factory.mktemp("served") / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=PROJECT, env=env, stdout=output, stderr=output) as server,
    ):
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(server, address, log)
        yield address
        server.terminate()
        server.wait(30)


def wait_until_ready(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{address}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    server.kill()
    pytest.fail(log.read_text())


def requests(address: str, calls: Sequence[tuple[str, str, User]]) -> Counter[str]:
    """Send every call at once, each over its own connection, and count the answers."""
    tokens = Tokens(SECRET, timedelta(minutes=5))
    unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=0)

    def answer(number: int) -> str:
        method, path, user = calls[number]
        headers = {"Authorization": f"Bearer {tokens.issue(claims_of(user))}"}
        response = client.request(method, path, headers=headers)
        slug = response.json().get("type", "").removeprefix("/problems/")
        return f"{response.status_code} {slug}".strip()

    with httpx.Client(base_url=f"{address}{PREFIX}", timeout=60, limits=unlimited) as client:
        return Counter(at_once(len(calls), answer))


def test_a_stampede_on_two_workers_never_oversells(live: Store, served: str) -> None:
    event, users = an_event(live, capacity_total=10), crowd(live, 60)
    calls = [("POST", f"/registrations/events/{event.id}", user) for user in users]
    assert requests(served, calls) == Counter({"201": 10, "409 event-full": 50})
    assert (confirmed(live, event), counted(live, event)) == (10, 10)


def test_more_requests_than_connections_are_all_answered(live: Store, served: str) -> None:
    event, users = an_event(live), crowd(live, 50)
    calls = [
        call
        for user in users
        for call in (
            ("POST", f"/registrations/events/{event.id}", user),
            ("GET", f"/events/{event.id}", user),
        )
    ]
    assert requests(served, calls) == Counter({"201": 50, "200": 50})
