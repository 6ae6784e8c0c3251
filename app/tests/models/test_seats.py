"""Seats in sessions, tried with raw SQL that goes round the service: the database refuses it by name."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm.exc import StaleDataError

from app.core.database import Database, Store
from app.models import Event, Room, Session, Speaker
from app.models.constraints import violated
from app.models.enums import RegistrationStatus
from app.tests.factories import Factory
from app.tests.models.conftest import DEFER, JUDGE, MOVE, Refusal, Run, plan, to

FULL = "ck_sessions_seats_within_capacity"
COUNTER = "ck_sessions_counter_follows_seats"
REGISTERED = "ck_seats_holder_is_registered"
HELD = "uq_seats_held"
AGENDA = "ex_seats_attendee_is_in_one_place"
COPY = "fk_seats_session_id_sessions"

TAKE = """
    INSERT INTO seats (session_id, event_id, user_id, during)
    SELECT sessions.id, event_id, users.id, during FROM sessions CROSS JOIN users
    WHERE sessions.id = ANY(:sessions) AND users.id = ANY(:users)
"""
LEAVE = "UPDATE seats SET given_up_at = now() WHERE user_id = :user AND given_up_at IS NULL"
RETURN = "UPDATE seats SET given_up_at = NULL WHERE user_id = :user"

Counter = Callable[[Session], int]


@pytest.fixture
def taken(run: Run) -> Counter:
    """Read what a session has counted."""

    def read(session: Session) -> int:
        counted = run("SELECT seats_taken FROM sessions WHERE id = :id", id=session.id)
        return int(counted.scalar_one())

    return read


def attendees(make: Factory, event: Event, count: int) -> list[int]:
    return [make.registered(event).id for _ in range(count)]


def held(run: Run) -> list[int]:
    """Return whose seats are held."""
    return list(run("SELECT user_id FROM seats WHERE given_up_at IS NULL ORDER BY user_id").scalars())


# Capacity


def test_a_seat_that_is_not_there_cannot_be_taken(
    make: Factory, event: Event, run: Run, refusal: Refusal, taken: Counter
) -> None:
    session, users = make.session(event, own_capacity=2), attendees(make, event, 3)
    assert refusal(TAKE, sessions=[session.id], users=users) == FULL
    run(TAKE, sessions=[session.id], users=users[:2])
    assert refusal(TAKE, sessions=[session.id], users=users[2:]) == FULL
    assert taken(session) == 2


def test_a_session_without_places_of_its_own_has_those_of_its_room(
    make: Factory, event: Event, run: Run, refusal: Refusal
) -> None:
    session = make.session(event, room=make.room(event, capacity=1))
    one, two = attendees(make, event, 2)
    run(TAKE, sessions=[session.id], users=[one])
    assert refusal(TAKE, sessions=[session.id], users=[two]) == FULL


@pytest.mark.parametrize("in_a_room", [False, True])
def test_a_session_without_a_limit_takes_everybody(
    make: Factory,
    event: Event,
    run: Run,
    taken: Counter,
    in_a_room: bool,  # noqa: FBT001
) -> None:
    session = make.session(event, room=make.room(event) if in_a_room else None)
    run(TAKE, sessions=[session.id], users=attendees(make, event, 3))
    assert (taken(session), session.capacity_available) == (3, None)


def test_a_seat_given_up_is_free_and_cannot_be_had_back_once_another_took_it(
    make: Factory, event: Event, run: Run, refusal: Refusal
) -> None:
    session = make.session(event, own_capacity=1)
    one, two = attendees(make, event, 2)
    run(TAKE, sessions=[session.id], users=[one])
    run(LEAVE, user=one)
    run(TAKE, sessions=[session.id], users=[two])
    assert refusal(RETURN, user=one) == FULL


def test_a_seat_cannot_be_moved_to_a_full_session(
    make: Factory, event: Event, run: Run, refusal: Refusal
) -> None:
    full, other = make.session(event, own_capacity=1), make.session(event)
    one, two = attendees(make, event, 2)
    run(TAKE, sessions=[full.id], users=[one])
    run(TAKE, sessions=[other.id], users=[two])
    assert refusal("UPDATE seats SET session_id = :full WHERE user_id = :two", full=full.id, two=two) == FULL


def test_no_capacity_falls_below_the_seats_taken(
    make: Factory, event: Event, run: Run, refusal: Refusal
) -> None:
    room, small = make.room(event, capacity=5), make.room(event, capacity=1)
    session = make.session(event, room=room)
    run(TAKE, sessions=[session.id], users=attendees(make, event, 2))
    own = "UPDATE sessions SET capacity_total = :places"
    rooms = "UPDATE rooms SET capacity = :places WHERE id = :room"
    leave = "UPDATE sessions SET room_id = :room, room_seats = 1"
    assert refusal(own, places=1) == FULL
    assert refusal(rooms, places=1, room=room.id) == FULL
    assert refusal(leave, room=small.id) == FULL
    run(own, places=2)
    run(rooms, places=2, room=room.id)


def test_what_is_left_is_the_capacity_less_the_seats(make: Factory, event: Event, db: Database) -> None:
    session = make.session(event, own_capacity=3)
    make.seat(session)
    make.seat(session, given_up_at=event.start_at)
    db.refresh(session)
    assert session.capacity_available == 2


# Counters


def test_the_counter_cannot_be_written_by_hand(make: Factory, event: Event, refusal: Refusal) -> None:
    make.session(event)
    for value in ("1", "seats_taken + 1"):
        assert refusal(f"UPDATE sessions SET seats_taken = {value}") == COUNTER
    insert = """
        INSERT INTO sessions
            (event_id, event_is_live, event_start_at, event_end_at, title, start_at, end_at, seats_taken)
        SELECT event_id, event_is_live, event_start_at, event_end_at, title, start_at, end_at, 1
        FROM sessions
    """
    assert refusal(insert) == COUNTER


def test_the_counter_follows_every_way_to_write_a_seat(
    make: Factory, event: Event, run: Run, taken: Counter
) -> None:
    one, other = make.session(event), plan(make, event, 1)
    users = attendees(make, event, 3)
    seen = []

    def after(sql: str, **values: Any) -> None:
        run(sql, **values)
        seen.append((taken(one), taken(other)))

    after(TAKE, sessions=[one.id, other.id], users=users)
    after(LEAVE, user=users[0])
    after(RETURN, user=users[0])
    after(MOVE, session=one.id, **to(event, 5))
    after("UPDATE seats SET created_at = now()")
    after("DELETE FROM seats WHERE session_id = :other AND user_id = :user", other=other.id, user=users[0])
    after(
        "UPDATE seats SET session_id = :other, during = sessions.during FROM sessions"
        " WHERE sessions.id = :other AND seats.session_id = :one AND user_id = :user",
        one=one.id,
        other=other.id,
        user=users[0],
    )
    after("TRUNCATE seats")
    assert seen == [(3, 3), (2, 2), (3, 3), (3, 3), (3, 3), (3, 2), (2, 3), (0, 0)]


def test_a_seat_that_is_skipped_is_not_counted(make: Factory, event: Event, run: Run, taken: Counter) -> None:
    session, users = make.session(event), attendees(make, event, 1)
    for _ in range(2):
        run(
            f"{TAKE} ON CONFLICT (session_id, user_id) WHERE given_up_at IS NULL DO NOTHING",
            sessions=[session.id],
            users=users,
        )
    assert taken(session) == 1


# Who may hold one


@pytest.mark.parametrize("status", ["WAITLISTED", "CANCELLED", "at another event"])
def test_a_seat_needs_a_confirmed_place_at_the_event(
    make: Factory, event: Event, refusal: Refusal, run: Run, status: str
) -> None:
    session, user = make.session(event), make.user()
    if status == "at another event":
        make.registration(make.event(), user)
    else:
        make.registration(event, user, status=RegistrationStatus(status))
    assert refusal(TAKE, sessions=[session.id], users=[user.id]) == REGISTERED
    make.seat(session, user, given_up_at=event.start_at)
    assert refusal(RETURN, user=user.id) == REGISTERED
    make.seat(session)
    to_the_stranger = "UPDATE seats SET user_id = :user WHERE given_up_at IS NULL"
    assert refusal(to_the_stranger, user=user.id) == REGISTERED
    assert run("SELECT count(*) FROM seats").scalar_one() == 2


def test_one_without_a_place_undoes_the_seats_of_the_whole_statement(
    make: Factory, event: Event, refusal: Refusal, run: Run
) -> None:
    session, users = make.session(event), [*attendees(make, event, 3), make.user().id]
    assert refusal(TAKE, sessions=[session.id], users=users) == REGISTERED
    assert held(run) == []


@pytest.mark.parametrize(
    "leaving",
    [
        "UPDATE registrations SET status = 'CANCELLED'",
        "UPDATE registrations SET status = 'WAITLISTED'",
        "UPDATE registrations SET event_id = :other",
        "UPDATE registrations SET user_id = :nobody",
        "DELETE FROM registrations",
    ],
)
def test_who_loses_the_place_gives_up_the_seats_of_that_event_and_no_other_seat(
    make: Factory, event: Event, run: Run, taken: Counter, leaving: str
) -> None:
    session, later, elsewhere = make.session(event), plan(make, event, 1), make.event()
    foreign = plan(make, elsewhere, 5)
    user, other = make.registered(event, elsewhere), make.registered(event)
    run(TAKE, sessions=[session.id, later.id], users=[user.id, other.id])
    run(TAKE, sessions=[foreign.id], users=[user.id])
    of_one_event = f"{leaving} WHERE user_id = :user AND event_id = :event"
    run(of_one_event, user=user.id, event=event.id, other=make.event().id, nobody=make.user().id)
    assert held(run) == [user.id, other.id, other.id]
    assert [taken(each) for each in (session, later, foreign)] == [1, 1, 1]
    assert run("SELECT count(*) FROM seats").scalar_one() == 5


def test_one_statement_over_many_registrations_gives_up_the_seats_of_each(
    make: Factory, event: Event, run: Run, taken: Counter
) -> None:
    sessions = [plan(make, event, hour) for hour in range(3)]
    run(TAKE, sessions=[session.id for session in sessions], users=attendees(make, event, 4))
    run("UPDATE registrations SET status = 'CANCELLED'")
    assert (held(run), [taken(session) for session in sessions]) == ([], [0, 0, 0])


def test_without_registrations_there_are_no_seats(
    make: Factory, event: Event, run: Run, taken: Counter
) -> None:
    session = make.session(event)
    make.seat(session)
    run("TRUNCATE registrations CASCADE")
    assert (held(run), taken(session)) == ([], 0)


def test_checking_in_and_promoting_leave_the_seats_alone(make: Factory, event: Event, run: Run) -> None:
    seat = make.seat(make.session(event))
    make.registration(event, status=RegistrationStatus.WAITLISTED)
    run("UPDATE registrations SET checked_in_at = now() WHERE status = 'CONFIRMED'")
    run("UPDATE registrations SET status = 'CONFIRMED' WHERE status = 'WAITLISTED'")
    assert held(run) == [seat.user_id]


def test_a_deleted_session_gives_up_its_seats_for_good(
    make: Factory, event: Event, run: Run, taken: Counter
) -> None:
    session, other = make.session(event), plan(make, event, 1)
    users = attendees(make, event, 2)
    run(TAKE, sessions=[session.id, other.id], users=users)
    run("UPDATE sessions SET deleted_at = now() WHERE id = :id", id=session.id)
    run("UPDATE sessions SET deleted_at = NULL WHERE id = :id", id=session.id)
    assert (held(run), taken(session), taken(other)) == (users, 0, 2)


def test_what_has_seats_is_not_removed(make: Factory, event: Event, refusal: Refusal) -> None:
    seat = make.seat(make.session(event), given_up_at=event.start_at)
    assert refusal("DELETE FROM sessions WHERE id = :id", id=seat.session_id) == COPY


# Agendas


def test_nobody_holds_two_seats_in_one_session(
    make: Factory, event: Event, run: Run, refusal: Refusal
) -> None:
    # Of a cancelled event, whose empty time the exclusion does not see.
    session, (user,) = make.session(event), attendees(make, event, 1)
    run("UPDATE events SET status = 'CANCELLED'")
    for _ in range(2):
        run(TAKE, sessions=[session.id], users=[user])
        run(LEAVE, user=user)
    run(TAKE, sessions=[session.id], users=[user])
    assert refusal(TAKE, sessions=[session.id], users=[user]) == HELD
    assert refusal(RETURN, user=user) == HELD


@pytest.mark.parametrize("where", ["in one event", "across events"])
def test_an_attendee_is_in_one_place_at_a_time(
    make: Factory, event: Event, refusal: Refusal, run: Run, where: str
) -> None:
    other = event if where == "in one event" else make.event()
    user = make.registered(*{event, other})
    make.seat(plan(make, event, 0), user)
    clash, next_hour = plan(make, other, 0.5), plan(make, other, 1)
    assert refusal(TAKE, sessions=[clash.id], users=[user.id]) == AGENDA
    # Half-open: a session may start the moment another ends.
    run(TAKE, sessions=[next_hour.id], users=[user.id])
    assert refusal(MOVE, session=next_hour.id, **to(other, 0.5)) == AGENDA
    make.seat(clash, user, given_up_at=event.start_at)
    again = "UPDATE seats SET given_up_at = NULL WHERE session_id = :session"
    assert refusal(again, session=clash.id) == AGENDA


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE sessions SET deleted_at = now() WHERE id = :session",
        "UPDATE events SET status = 'CANCELLED' WHERE id = :event",
        "UPDATE events SET deleted_at = now() WHERE id = :event",
        "UPDATE registrations SET status = 'CANCELLED' WHERE event_id = :event",
        "UPDATE seats SET given_up_at = now()",
    ],
)
def test_a_seat_in_what_is_over_blocks_nobody(
    make: Factory, event: Event, refusal: Refusal, run: Run, ending: str
) -> None:
    elsewhere = make.event()
    user = make.registered(event, elsewhere)
    gone, other = make.session(event), make.session(elsewhere)
    make.seat(gone, user)
    assert refusal(TAKE, sessions=[other.id], users=[user.id]) == AGENDA
    run(ending, session=gone.id, event=event.id)
    run(TAKE, sessions=[other.id], users=[user.id])


def test_moving_a_session_moves_its_seats_with_it(make: Factory, event: Event, run: Run) -> None:
    session = make.session(event)
    make.seat(session)
    make.seat(session, given_up_at=event.start_at)
    run(MOVE, session=session.id, **to(event, 5))
    ranges = run("SELECT lower(during), upper(during) FROM seats").all()
    assert [tuple(row) for row in ranges] == [tuple(to(event, 5).values())] * 2


def test_a_seat_s_time_and_event_cannot_lie(make: Factory, event: Event, refusal: Refusal) -> None:
    other = make.event()
    user = make.registered(event, other)
    session = make.session(event)
    make.seat(session, user)
    for lie in ("during = 'empty'", "during = tstzrange(now(), NULL)", f"event_id = {other.id}"):
        assert refusal(f"UPDATE seats SET {lie}") == COPY
    insert = """
        INSERT INTO seats (session_id, event_id, user_id, during)
        VALUES (:session, :event, :user, 'empty')
    """
    assert refusal(insert, session=session.id, event=event.id, user=make.registered(event).id) == COPY


# Swaps


def test_two_sessions_swap_room_speaker_and_attendees_when_they_are_judged_at_the_end(
    make: Factory, event: Event, refusal: Refusal, run: Run
) -> None:
    room, speaker, user = make.room(event), make.speaker(), make.registered(event)
    one, two = plan(make, event, 0, room, speaker), plan(make, event, 1, room, speaker)
    run(TAKE, sessions=[one.id, two.id], users=[user.id])
    assert refusal(MOVE, session=one.id, **to(event, 1)) is not None
    run(DEFER)
    run(MOVE, session=one.id, **to(event, 1))
    run(MOVE, session=two.id, **to(event, 0))
    run(JUDGE)
    for query in (
        "SELECT id FROM sessions ORDER BY start_at",
        "SELECT session_id FROM session_speakers ORDER BY lower(during)",
        "SELECT session_id FROM seats ORDER BY lower(during)",
    ):
        assert run(query).scalars().all() == [two.id, one.id]


def test_two_sessions_swap_their_rooms_in_one_hour(make: Factory, event: Event, run: Run) -> None:
    rooms = [make.room(event), make.room(event)]
    one, two = (plan(make, event, 0, room) for room in rooms)
    put = "UPDATE sessions SET room_id = :room WHERE id = :session"
    run(DEFER)
    run(put, session=one.id, room=rooms[1].id)
    run(put, session=two.id, room=rooms[0].id)
    run(JUDGE)
    assert run("SELECT room_id FROM sessions ORDER BY id").scalars().all() == [rooms[1].id, rooms[0].id]


def test_half_a_swap_of_attendees_is_refused_at_the_end(
    make: Factory, event: Event, refusal: Refusal, run: Run
) -> None:
    one, two = plan(make, event, 0), plan(make, event, 1)
    run(TAKE, sessions=[one.id, two.id], users=attendees(make, event, 1))
    assert refusal(DEFER, MOVE, JUDGE, session=one.id, **to(event, 1)) == AGENDA


def test_a_clash_that_is_given_up_before_the_end_is_none(make: Factory, event: Event, run: Run) -> None:
    one, two = plan(make, event, 0), plan(make, event, 1)
    (user,) = attendees(make, event, 1)
    run(TAKE, sessions=[one.id, two.id], users=[user])
    run(DEFER)
    run(MOVE, session=one.id, **to(event, 1))
    run("UPDATE seats SET given_up_at = now() WHERE session_id = :id", id=one.id)
    run(JUDGE)
    assert held(run) == [user]


# Races, over real connections


@contextmanager
def without_waiting(store: Store) -> Iterator[Database]:
    """Open a transaction that gives up where it would have to wait."""
    with store.job() as db:
        db.execute(text("SET LOCAL lock_timeout = '300ms'"))
        yield db


def seated(store: Store) -> list[tuple[bool, str]]:
    """Return of each seat whether it is held, and what the holder's registration is worth."""
    with store.job() as db:
        rows = db.execute(
            text("SELECT given_up_at IS NULL, status FROM seats JOIN registrations USING (event_id, user_id)")
        )
        return [(is_held, status) for is_held, status in rows]


def attendee_and_session(store: Store) -> dict[str, Any]:
    with store.job() as db:
        make = Factory(db)
        event = make.event()
        return {"users": [make.registered(event).id], "sessions": [make.session(event).id]}


CANCEL = text("UPDATE registrations SET status = 'CANCELLED'")


def cancel_while_seating(store: Store) -> list[tuple[bool, str]]:
    """Cancel a registration while its owner's seat is written and not yet committed."""
    values = attendee_and_session(store)
    with store.job() as seating, ThreadPoolExecutor(1) as thread:
        seating.execute(text(TAKE), values)

        def cancel() -> None:
            with store.job() as cancelling:
                cancelling.execute(CANCEL)

        cancelled = thread.submit(cancel)
        # Time enough for whoever does not wait.
        seating.execute(text("SELECT pg_sleep(0.3)"))
        seating.commit()
        cancelled.result(30)
    return seated(store)


def rewrite(store: Store, function: str, old: str, new: str) -> None:
    """Replace a piece of a function of the database."""
    with store.job() as db:
        query = text("SELECT pg_get_functiondef(CAST(:name AS regproc))")
        source = db.execute(query, {"name": function}).scalar_one()
        assert old in source
        db.execute(text(source.replace(old, new).replace(":", r"\:")))


def test_who_cancels_while_taking_a_seat_keeps_no_seat(live: Store) -> None:
    rewrite(live, "check_seats", "FOR SHARE OF", "FOR KEY SHARE OF")
    try:
        careless = cancel_while_seating(live)
    finally:
        rewrite(live, "check_seats", "FOR KEY SHARE OF", "FOR SHARE OF")
    assert careless == [(True, "CANCELLED")]
    with live.job() as db:
        db.execute(text("TRUNCATE users CASCADE"))
    assert cancel_while_seating(live) == [(False, "CANCELLED")]


def test_who_takes_a_seat_while_cancelling_gets_none(live: Store) -> None:
    values = attendee_and_session(live)

    def take() -> str | None:
        with pytest.raises(IntegrityError) as caught, live.job() as seating:
            seating.execute(text(TAKE), values)
        return violated(caught.value)

    with live.job() as cancelling, ThreadPoolExecutor(1) as thread:
        cancelling.execute(CANCEL)
        refused = thread.submit(take)
        cancelling.execute(text("SELECT pg_sleep(0.3)"))
        cancelling.commit()
        assert refused.result(30) == REGISTERED


def test_a_session_can_be_given_speakers_while_its_seats_are_taken(live: Store) -> None:
    values = attendee_and_session(live)
    with live.job() as db:
        speaker = Factory(db).speaker()
    speak = text("""
        INSERT INTO session_speakers (session_id, speaker_id, during)
        SELECT id, :speaker, during FROM sessions
    """)

    def speak_while(seating: Database) -> str:
        seating.execute(text(TAKE), values)
        try:
            with without_waiting(live) as planning:
                planning.execute(speak, {"speaker": speaker.id})
        except OperationalError as error:
            return type(error.orig).__name__
        return "done"

    with live.job() as db:
        # As it would be if the counter were guarded before the update.
        db.execute(text("SELECT FROM sessions FOR UPDATE"))
        assert speak_while(db) == "LockNotAvailable"
        db.rollback()
    with live.job() as db:
        assert speak_while(db) == "done"


# Names, versions, feeds


@pytest.mark.parametrize("table", ["events", "sessions", "speakers"])
def test_everything_has_a_guid_of_its_own(make: Factory, run: Run, table: str) -> None:
    for _ in range(2):
        plan(make, make.event(), 0, None, make.speaker())
    one, other = run(f"SELECT guid FROM {table}").scalars().all()
    assert one != other


def test_a_guid_is_one_session_s_in_its_event(
    make: Factory, event: Event, refusal: Refusal, run: Run
) -> None:
    sessions = plan(make, event, 0), plan(make, event, 1)
    same = "UPDATE sessions SET guid = :guid"
    assert refusal(same, guid=str(sessions[0].guid)) == "uq_sessions_event_id_guid"
    plan(make, make.event(), 0)
    alike = f"{same} WHERE id NOT IN (:one)"
    run("DELETE FROM sessions WHERE id = :id", id=sessions[1].id)
    run(alike, guid=str(sessions[0].guid), one=sessions[0].id)


def an_edit(kind: type[Any], make: Factory, event: Event) -> tuple[Any, str]:
    """Make one of what people edit, and name a text of it."""
    edits = (
        (event, "name"),
        (make.room(event), "name"),
        (make.session(event), "title"),
        (make.speaker(), "full_name"),
    )
    return next((row, field) for row, field in edits if isinstance(row, kind))


@pytest.mark.parametrize("kind", [Event, Room, Session, Speaker])
def test_an_edit_is_numbered_and_one_of_what_was_read_before_another_is_refused(
    db: Database, make: Factory, event: Event, run: Run, kind: type[Any]
) -> None:
    row, field = an_edit(kind, make, event)
    assert row.version == 1
    setattr(row, field, "Another")
    db.commit()
    assert row.version == 2
    run(f"UPDATE {row.__tablename__} SET version = version + 1")
    setattr(row, field, "Too late")
    with pytest.raises(StaleDataError):
        db.flush()


def test_what_the_triggers_count_is_no_edit(db: Database, make: Factory, event: Event) -> None:
    session = make.session(event)
    make.seat(session)
    db.refresh(session)
    db.refresh(event)
    assert (session.seats_taken, session.version) == (1, 1)
    assert (event.confirmed_count, event.version) == (1, 1)


FEED = "INSERT INTO calendar_feeds (user_id, token_digest) VALUES (:user, sha256(CAST(:token AS bytea)))"


def test_a_person_has_one_feed_and_a_token_opens_one(make: Factory, refusal: Refusal, run: Run) -> None:
    one, other = make.user(), make.user()
    run(FEED, user=one.id, token=b"a")
    assert refusal(FEED, user=one.id, token=b"b") == "pk_calendar_feeds"
    assert refusal(FEED, user=other.id, token=b"a") == "uq_calendar_feeds_token_digest"
    plain = "UPDATE calendar_feeds SET token_digest = 'a'"
    assert refusal(plain) == "ck_calendar_feeds_digest_is_sha256"
