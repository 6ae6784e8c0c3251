"""Every breach is found by its own name, once what protects from it is gone; a sound database has none."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Database, Store
from app.core.exceptions import ReadOnlyDatabase
from app.crud.invariants import INVARIANTS, Invariant
from app.models import Event, Registration, Room, Seat, Session
from app.models.enums import EventStatus, RegistrationStatus, Role
from app.services.invariants import SAMPLES, Breach, check
from app.tests.factories import DAY, HOUR, Factory

WAITLISTED = RegistrationStatus.WAITLISTED
COUNTERS = "ALTER TABLE registrations DISABLE TRIGGER USER"

Break = Callable[[Database, Factory], Event | Registration | Room | Seat | Session | int]
BREAKS: dict[str, Break] = {}


def breaks(function: Break) -> Break:
    """Register how the rule that the function is called after is broken."""
    BREAKS[function.__name__.replace("_", "-")] = function
    return function


def run(db: Database, *statements: str) -> None:
    for statement in statements:
        db.execute(text(statement))
    db.commit()


def drop(db: Database, table: str, constraint: str) -> None:
    run(db, f"ALTER TABLE {table} DROP CONSTRAINT {constraint} CASCADE")


@breaks
def oversold(db: Database, make: Factory) -> Event:
    drop(db, "events", "ck_events_confirmed_within_capacity")
    event = make.event(capacity_total=1)
    make.registration(event)
    make.registration(event)
    return event


@breaks
def confirmed_miscounted(db: Database, make: Factory) -> Event:
    run(db, COUNTERS)
    event = make.event()
    make.registration(event)
    return event


@breaks
def waitlist_miscounted(db: Database, make: Factory) -> Event:
    event = make.event(capacity_total=1, waitlist_enabled=True)
    make.registration(event)
    run(db, COUNTERS)
    make.registration(event, status=WAITLISTED)
    return event


@breaks
def place_left_empty(_: Database, make: Factory) -> Event:
    event = make.event(waitlist_enabled=True)
    make.registration(event, status=WAITLISTED)
    return event


@breaks
def waitlist_passed(_: Database, make: Factory) -> Registration:
    event = make.event(capacity_total=1, waitlist_enabled=True)
    passed = make.registration(event, status=WAITLISTED)
    make.registration(event)
    return passed


@breaks
def waitlist_not_offered(_: Database, make: Factory) -> Registration:
    event = make.event(capacity_total=1)
    make.registration(event)
    return make.registration(event, status=WAITLISTED)


@breaks
def registered_twice(db: Database, make: Factory) -> Registration:
    run(db, "DROP INDEX uq_registrations_live")
    event, user = make.event(), make.user()
    make.registration(event, user)
    return make.registration(event, user)


@breaks
def registered_at_nothing(_: Database, make: Factory) -> Registration:
    return make.registration(make.event(status=EventStatus.CANCELLED))


@breaks
def event_ends_early(db: Database, make: Factory) -> Event:
    drop(db, "events", "ck_events_ends_after_start")
    event = make.event()
    run(db, f"UPDATE events SET end_at = start_at WHERE id = {event.id}")
    return event


@breaks
def public_events_miscounted(db: Database, make: Factory) -> int:
    make.event()
    run(db, "DELETE FROM event_counts")
    run(db, "INSERT INTO event_counts VALUES (77, 2)")
    return 77


@breaks
def word_not_known(db: Database, make: Factory) -> Event:
    event = make.event(name="Kermés")
    run(db, "DELETE FROM event_words WHERE word = 'kermes'")
    return event


@breaks
def session_ends_early(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "ck_sessions_ends_after_start")
    event = make.event()
    return make.session(event, start_at=event.start_at, end_at=event.start_at)


@breaks
def session_outside_event(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "ck_sessions_inside_its_event")
    event = make.event()
    return make.session(event, start_at=event.start_at - HOUR)


@breaks
def session_event_copy(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "fk_sessions_event_id_events")
    event = make.event()
    return make.session(event, event_start_at=event.start_at - DAY)


@breaks
def session_room_copy(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "fk_sessions_room_id_rooms")
    event = make.event()
    return make.session(event, room=make.room(event), room_parallel=True)


@breaks
def room_too_small(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "ck_sessions_fits_in_its_room")
    event = make.event()
    return make.session(event, room=make.room(event, capacity=10), own_capacity=11)


@breaks
def room_taken_twice(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "ex_sessions_room_holds_one_session")
    event = make.event()
    room = make.room(event)
    make.session(event, room=room)
    return make.session(event, room=room)


@breaks
def speaker_in_two_places(db: Database, make: Factory) -> Session:
    drop(db, "session_speakers", "ex_session_speakers_speaker_is_in_one_place")
    speaker = make.speaker()
    make.session(make.event(), speakers=(speaker,))
    return make.session(make.event(), speakers=(speaker,))


@breaks
def speaker_time_copy(db: Database, make: Factory) -> Session:
    drop(db, "session_speakers", "fk_session_speakers_session_id_sessions")
    session = make.session(make.event(), speakers=(make.speaker(),))
    run(db, f"UPDATE session_speakers SET during = 'empty' WHERE session_id = {session.id}")
    return session


@breaks
def session_oversold(db: Database, make: Factory) -> Session:
    drop(db, "sessions", "ck_sessions_seats_within_capacity")
    event = make.event()
    session = make.session(event, room=make.room(event, capacity=1))
    make.seat(session)
    make.seat(session)
    return session


@breaks
def seats_miscounted(db: Database, make: Factory) -> Session:
    run(db, "ALTER TABLE seats DISABLE TRIGGER USER")
    session = make.session(make.event())
    make.seat(session)
    return session


@breaks
def seat_without_place(db: Database, make: Factory) -> Seat:
    run(db, "ALTER TABLE seats DISABLE TRIGGER seats_check_inserted")
    return make.seat(make.session(make.event()), make.user())


@breaks
def seat_in_nothing(_: Database, make: Factory) -> Seat:
    event = make.event()
    return make.seat(make.session(event, deleted_at=event.start_at))


@breaks
def attendee_in_two_places(db: Database, make: Factory) -> Seat:
    drop(db, "seats", "ex_seats_attendee_is_in_one_place")
    one, other = make.event(), make.event()
    user = make.registered(one, other)
    make.seat(make.session(one), user)
    return make.seat(make.session(other), user)


@breaks
def seat_session_copy(db: Database, make: Factory) -> Seat:
    drop(db, "seats", "fk_seats_session_id_sessions")
    seat = make.seat(make.session(make.event()))
    run(db, f"UPDATE seats SET during = 'empty' WHERE id = {seat.id}")
    return seat


def remember(db: Database, user_id: int, path: str, made: int) -> int:
    db.execute(
        text(
            "INSERT INTO idempotency_keys (user_id, method, path, key, body_digest, status, body)"
            " VALUES (:user_id, 'POST', :path, 'once', :digest, 201, convert_to(:body, 'UTF8'))"
        ),
        {
            "user_id": user_id,
            "path": path,
            "digest": sha256(b"").digest(),
            "body": f'{{"id":{made}}}',
        },
    )
    db.commit()
    return made


@breaks
def key_without_registration(db: Database, make: Factory) -> int:
    registration = make.registration(make.event())
    path = f"/api/v1/registrations/events/{registration.event_id}"
    remember(db, registration.user_id, path, registration.id)
    return remember(db, make.user().id, path, registration.id)


@breaks
def key_without_seat(db: Database, make: Factory) -> int:
    seat = make.seat(make.session(make.event()))
    path = f"/api/v1/registrations/sessions/{seat.session_id}"
    remember(db, seat.user_id, path, seat.id)
    return remember(db, make.user().id, path, seat.id)


@breaks
def key_without_event(db: Database, make: Factory) -> int:
    event = make.event()
    remember(db, event.created_by, "/api/v1/events", event.id)
    return remember(db, make.user().id, "/api/v1/events", event.id)


@breaks
def role_unlogged(db: Database, make: Factory) -> int:
    make.user(role=Role.ORGANIZER)
    admin = make.admin()
    run(
        db,
        "ALTER TABLE users DISABLE TRIGGER USER",
        f"UPDATE users SET is_active = false WHERE id = {admin.id}",
    )
    return admin.id


@breaks
def check_in_unlogged(db: Database, make: Factory) -> Registration:
    event = make.event()
    undone, _ = (make.registration(event, checked_in_at=event.start_at) for _ in range(2))
    run(db, COUNTERS, f"UPDATE registrations SET checked_in_at = NULL WHERE id = {undone.id}")
    return undone


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.name)
def test_each_breach_is_found_by_its_name(invariant: Invariant, db: Database, make: Factory) -> None:
    assert check(db) == []
    broken = BREAKS[invariant.name](db, make)
    key = broken if isinstance(broken, int) else broken.id
    found = {breach.name: breach for breach in check(db)}
    assert found[invariant.name] == Breach(invariant.name, invariant.meaning, 1, [key])


def test_a_sound_database_has_no_breach(db: Database, make: Factory) -> None:
    full = make.event(capacity_total=1, waitlist_enabled=True)
    leaver = make.user()
    make.registration(full, leaver, status=RegistrationStatus.CANCELLED)
    make.registration(full, leaver)
    make.registration(full, status=WAITLISTED)
    make.registration(make.event(status=EventStatus.FINISHED, waitlist_enabled=True), status=WAITLISTED)
    event, other = make.event(), make.event(status=EventStatus.CANCELLED)
    room, parallel = make.room(event, capacity=10), make.room(event, allow_parallel=True)
    speaker = make.speaker()
    later: dict[str, Any] = {"start_at": event.start_at + HOUR, "end_at": event.start_at + 2 * HOUR}
    make.session(event, room=room, speakers=(speaker,), own_capacity=10)
    make.session(event, room=room, speakers=(speaker,), **later)
    make.session(event, room=room, deleted_at=event.start_at, own_capacity=None)
    make.session(other, speakers=(speaker,))
    make.session(event, room=parallel)
    taken = make.session(event, room=parallel, own_capacity=1)
    attendee = make.registered(event)
    make.seat(taken, given_up_at=event.start_at)
    make.seat(taken, attendee)
    make.seat(make.session(event, room=parallel, **later), attendee)
    remember(db, full.created_by, "/api/v1/events", full.id)
    inside = make.registration(event, checked_in_at=event.start_at)
    admin = make.admin()
    for change in (
        f"UPDATE registrations SET checked_in_at = checked_in_at - interval '1 s' WHERE id = {inside.id}",
        f"UPDATE registrations SET event_id = {make.event().id} WHERE id = {inside.id}",
        f"UPDATE users SET role = 'ATTENDEE', is_active = false WHERE id = {admin.id}",
        f"UPDATE users SET role = 'ORGANIZER' WHERE id = {admin.id}",
    ):
        run(db, change)
    assert check(db) == []


def test_many_rows_are_counted_and_a_few_named(db: Database, make: Factory) -> None:
    run(db, COUNTERS)
    events = [make.event() for _ in range(SAMPLES + 2)]
    for event in events:
        make.registration(event)
    (breach,) = check(db)
    assert (breach.count, breach.samples) == (SAMPLES + 2, [event.id for event in events[:SAMPLES]])


def test_a_snapshot_sees_one_moment_and_changes_nothing(live: Store) -> None:
    with live.snapshot() as snapshot:
        assert check(snapshot) == []
        with live.job() as db:
            make = Factory(db)
            make.registration(make.event(), status=WAITLISTED)
        assert check(snapshot) == []
        with pytest.raises(ReadOnlyDatabase):
            snapshot.execute(text("DELETE FROM registrations"))
    with live.snapshot() as snapshot:
        assert [breach.name for breach in check(snapshot)] == ["place-left-empty", "waitlist-not-offered"]
    with live.job() as db:
        db.execute(text("SELECT 1 FROM registrations FOR UPDATE"))
