"""What must never happen, tried with raw SQL that goes round the service: the database refuses it by name."""

from collections.abc import Callable
from typing import Any

import pytest

from app.models import Event, Speaker
from app.models.enums import RegistrationStatus, TeamRole
from app.tests.factories import Factory
from app.tests.models.conftest import DEFER, JUDGE, MOVE, Refusal, Run, plan, to

FULL = "ck_events_confirmed_within_capacity"
COUNTERS = "ck_events_counters_follow_registrations"
LIVE = "uq_registrations_live"
ROOM = "ex_sessions_room_holds_one_session"
SPEAKER = "ex_session_speakers_speaker_is_in_one_place"
INSIDE = "ck_sessions_inside_its_event"
FITS = "ck_sessions_fits_in_its_room"

Counters = Callable[[Event], tuple[int, int]]


@pytest.fixture
def counters(run: Run) -> Counters:
    """Read what an event has counted: confirmed, waiting."""

    def read(event: Event) -> tuple[int, int]:
        sql = "SELECT confirmed_count, waitlist_count FROM events WHERE id = :id"
        confirmed, waiting = run(sql, id=event.id).one()
        return confirmed, waiting

    return read


REGISTER = """
    INSERT INTO registrations (event_id, user_id, status, ticket_code)
    SELECT :event, id, :status, 'ticket-' || id FROM users WHERE id = ANY(:users)
"""


def people(make: Factory, count: int) -> list[int]:
    return [make.user().id for _ in range(count)]


# Places


def test_a_place_that_is_not_there_cannot_be_inserted(make: Factory, run: Run, refusal: Refusal) -> None:
    event, (one, two) = make.event(capacity_total=1), people(make, 2)
    run(REGISTER, event=event.id, status="CONFIRMED", users=[one])
    assert refusal(REGISTER, event=event.id, status="CONFIRMED", users=[two]) == FULL


def test_many_places_at_once_are_refused_as_one(
    make: Factory, run: Run, refusal: Refusal, counters: Counters
) -> None:
    event, users = make.event(capacity_total=2), people(make, 3)
    assert refusal(REGISTER, event=event.id, status="CONFIRMED", users=users) == FULL
    assert counters(event) == (0, 0)
    run(REGISTER, event=event.id, status="CONFIRMED", users=users[:2])
    assert counters(event) == (2, 0)


@pytest.mark.parametrize("before", ["WAITLISTED", "CANCELLED"])
def test_a_place_that_is_not_there_cannot_be_updated_to(
    make: Factory, run: Run, refusal: Refusal, before: str
) -> None:
    event, (one, two) = make.event(capacity_total=1), people(make, 2)
    run(REGISTER, event=event.id, status="CONFIRMED", users=[one])
    run(REGISTER, event=event.id, status=before, users=[two])
    confirm = "UPDATE registrations SET status = 'CONFIRMED' WHERE event_id = :event"
    assert refusal(confirm, event=event.id) == FULL


def test_a_place_cannot_be_moved_to_a_full_event(make: Factory, run: Run, refusal: Refusal) -> None:
    full, other, (one, two) = make.event(capacity_total=1), make.event(), people(make, 2)
    run(REGISTER, event=full.id, status="CONFIRMED", users=[one])
    run(REGISTER, event=other.id, status="CONFIRMED", users=[two])
    move = "UPDATE registrations SET event_id = :full WHERE event_id = :other"
    assert refusal(move, full=full.id, other=other.id) == FULL


def test_capacity_cannot_fall_below_what_is_confirmed(make: Factory, run: Run, refusal: Refusal) -> None:
    event = make.event()
    run(REGISTER, event=event.id, status="CONFIRMED", users=people(make, 2))
    lower = "UPDATE events SET capacity_total = :capacity WHERE id = :event"
    assert refusal(lower, event=event.id, capacity=1) == FULL
    run(lower, event=event.id, capacity=2)


@pytest.mark.parametrize("capacity", [0, -1, 1_000_001])
def test_capacity_is_in_range(make: Factory, refusal: Refusal, capacity: int) -> None:
    change = "UPDATE events SET capacity_total = :capacity WHERE id = :event"
    assert refusal(change, event=make.event().id, capacity=capacity) == "ck_events_capacity_in_range"


@pytest.mark.parametrize("counter", ["confirmed_count", "waitlist_count"])
def test_a_counter_cannot_be_written_by_hand(make: Factory, refusal: Refusal, counter: str) -> None:
    event = make.event()
    for value in ("1", f"{counter} + 1"):
        assert refusal(f"UPDATE events SET {counter} = {value} WHERE id = :id", id=event.id) == COUNTERS
    insert = f"""
        INSERT INTO events (name, start_at, end_at, capacity_total, created_by, {counter})
        SELECT name, start_at, end_at, capacity_total, created_by, 1 FROM events WHERE id = :id
    """
    assert refusal(insert, id=event.id) == COUNTERS


def test_counters_follow_every_way_to_write_a_registration(
    make: Factory, run: Run, counters: Counters
) -> None:
    event, other, users = make.event(), make.event(), people(make, 4)
    seen = []

    def after(sql: str, **values: Any) -> None:
        run(sql, **values)
        seen.append((counters(event), counters(other)))

    after(REGISTER, event=event.id, status="CONFIRMED", users=users[:3])
    after(REGISTER, event=event.id, status="WAITLISTED", users=users[3:])
    after("UPDATE registrations SET status = 'CANCELLED' WHERE user_id = :user", user=users[0])
    after("UPDATE registrations SET status = 'CONFIRMED' WHERE user_id = :user", user=users[3])
    after("UPDATE registrations SET checked_in_at = now()")
    after("UPDATE registrations SET event_id = :other WHERE user_id = :user", other=other.id, user=users[1])
    after("DELETE FROM registrations WHERE user_id = ANY(:users)", users=[users[0], users[2]])
    after(REGISTER, event=other.id, status="WAITLISTED", users=users[:1])
    after("TRUNCATE registrations CASCADE")
    assert seen == [
        ((3, 0), (0, 0)),
        ((3, 1), (0, 0)),
        ((2, 1), (0, 0)),
        ((3, 0), (0, 0)),
        ((3, 0), (0, 0)),
        ((2, 0), (1, 0)),
        ((1, 0), (1, 0)),
        ((1, 0), (1, 1)),
        ((0, 0), (0, 0)),
    ]


def test_one_statement_over_many_events_counts_each_of_them(
    make: Factory, run: Run, counters: Counters
) -> None:
    events = [make.event() for _ in range(3)]
    for event, count in zip(events, (1, 2, 3), strict=True):
        run(
            REGISTER.replace("'ticket-'", f"'{event.id}-'"),
            event=event.id,
            status="CONFIRMED",
            users=people(make, count),
        )
    assert [counters(event) for event in events] == [(1, 0), (2, 0), (3, 0)]
    run("UPDATE registrations SET status = 'WAITLISTED'")
    assert [counters(event) for event in events] == [(0, 1), (0, 2), (0, 3)]
    run("DELETE FROM registrations")
    assert [counters(event) for event in events] == [(0, 0), (0, 0), (0, 0)]


def test_a_registration_that_is_skipped_is_not_counted(make: Factory, run: Run, counters: Counters) -> None:
    event, users = make.event(), people(make, 1)
    for _ in range(2):
        run(f"{REGISTER} ON CONFLICT DO NOTHING", event=event.id, status="CONFIRMED", users=users)
    assert counters(event) == (1, 0)


@pytest.mark.parametrize("first", ["CONFIRMED", "WAITLISTED"])
@pytest.mark.parametrize("second", ["CONFIRMED", "WAITLISTED"])
def test_nobody_has_two_live_registrations_for_one_event(
    make: Factory, refusal: Refusal, run: Run, first: str, second: str
) -> None:
    event, user = make.event(), make.user()
    make.registration(event, user, status=RegistrationStatus.CANCELLED)
    make.registration(event, user, status=RegistrationStatus(first))
    again = """
        INSERT INTO registrations (event_id, user_id, status, ticket_code)
        VALUES (:event, :user, :status, 'another')
    """
    assert refusal(again, event=event.id, user=user.id, status=second) == LIVE
    revive = "UPDATE registrations SET status = :status WHERE event_id = :event"
    assert refusal(revive, event=event.id, status=second) == LIVE
    run(again, event=event.id, user=user.id, status="CANCELLED")


def test_a_ticket_code_is_given_once(make: Factory, refusal: Refusal) -> None:
    make.registration(make.event())
    make.registration(make.event())
    same = "UPDATE registrations SET ticket_code = 'same'"
    assert refusal(same) == "uq_registrations_ticket_code"


# Rooms


@pytest.fixture
def speaker(make: Factory) -> Speaker:
    return make.speaker()


INSERT = """
    INSERT INTO sessions (
        event_id, event_is_live, event_start_at, event_end_at, title, start_at, end_at,
        room_id, room_parallel, room_seats, capacity_total
    )
    SELECT event_id, event_is_live, event_start_at, event_end_at, title, :start, :end,
        room_id, room_parallel, room_seats, capacity_total
    FROM sessions WHERE id = :session
"""


def test_a_room_holds_one_session_at_a_time(make: Factory, event: Event, refusal: Refusal, run: Run) -> None:
    room = make.room(event)
    there, other = plan(make, event, 0, room), plan(make, event, 5, room)
    for hour in (-0.5, 0, 0.5):
        inside = to(event, max(hour, 0))
        assert refusal(INSERT, session=there.id, **inside) == ROOM
        assert refusal(MOVE, session=other.id, **inside) == ROOM
    # Half-open: a session may start the moment another ends.
    run(INSERT, session=there.id, **to(event, 1))
    run(MOVE, session=other.id, **to(event, 2))


def test_a_session_cannot_be_put_into_a_room_that_is_taken(
    make: Factory, event: Event, refusal: Refusal
) -> None:
    room, other = make.room(event), make.room(event)
    plan(make, event, 0, room)
    moving = plan(make, event, 0.5, other)
    assert refusal("UPDATE sessions SET room_id = :room WHERE id = :id", room=room.id, id=moving.id) == ROOM


def test_a_room_that_allows_it_holds_parallel_sessions_until_it_does_not(
    make: Factory, event: Event, refusal: Refusal, run: Run
) -> None:
    room = make.room(event, allow_parallel=True)
    plan(make, event, 0, room)
    second = plan(make, event, 0.5, room)
    forbid = "UPDATE rooms SET allow_parallel = false WHERE id = :room"
    assert refusal(forbid, room=room.id) == ROOM
    run(MOVE, session=second.id, **to(event, 1))
    run(forbid, room=room.id)
    assert refusal(MOVE, session=second.id, **to(event, 0.5)) == ROOM


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE sessions SET deleted_at = now() WHERE id = :session",
        "UPDATE events SET status = 'CANCELLED' WHERE id = :event",
        "UPDATE events SET deleted_at = now() WHERE id = :event",
    ],
)
def test_what_is_cancelled_or_deleted_blocks_nobody_and_does_again_when_it_is_back(
    make: Factory, event: Event, refusal: Refusal, run: Run, ending: str
) -> None:
    elsewhere, speaker = make.event(), make.speaker()
    gone = plan(make, event, 0, make.room(event), speaker)
    assert run("SELECT isempty(during) FROM session_speakers").scalars().all() == [False]
    run(ending, session=gone.id, event=event.id)
    assert run("SELECT isempty(during) FROM session_speakers").scalars().all() == [True]
    run(INSERT, session=gone.id, **to(event, 0))
    plan(make, elsewhere, 0, None, speaker)
    back = "UPDATE events SET status = 'PUBLISHED', deleted_at = NULL"
    restore = "UPDATE sessions SET deleted_at = NULL"
    assert refusal(restore, back) in {ROOM, SPEAKER}


def test_a_session_has_no_more_places_than_its_room(
    make: Factory, event: Event, refusal: Refusal, run: Run
) -> None:
    room = make.room(event, capacity=30)
    session = make.session(event, room=room, own_capacity=30)
    grow = "UPDATE sessions SET capacity_total = :places WHERE id = :session"
    shrink = "UPDATE rooms SET capacity = :places WHERE id = :room"
    assert refusal(grow, places=31, session=session.id) == FITS
    assert refusal(shrink, places=29, room=room.id) == FITS
    run(shrink, places=None, room=room.id)
    run(grow, places=31, session=session.id)
    assert refusal(shrink, places=30, room=room.id) == FITS


def test_a_session_is_not_in_the_room_of_another_event(make: Factory, event: Event, refusal: Refusal) -> None:
    foreign, own = make.room(make.event()), make.room(event)
    session = plan(make, event, 0, own)
    put = "UPDATE sessions SET room_id = :room WHERE id = :session"
    assert refusal(put, room=foreign.id, session=session.id) == "fk_sessions_room_id_rooms"


@pytest.mark.parametrize("column", ["room_id", "room_parallel", "room_seats"])
def test_a_session_has_a_whole_room_or_none(
    make: Factory, event: Event, refusal: Refusal, column: str
) -> None:
    # A null in one of the copies would switch the foreign key off.
    session = plan(make, event, 0, make.room(event))
    clear = f"UPDATE sessions SET {column} = NULL WHERE id = :session"
    assert refusal(clear, session=session.id) == "ck_sessions_room_is_whole"


@pytest.mark.parametrize(
    ("lie", "key"),
    [
        ("event_start_at = event_start_at - interval '1 day'", "fk_sessions_event_id_events"),
        ("event_end_at = event_end_at + interval '1 day'", "fk_sessions_event_id_events"),
        ("event_is_live = false", "fk_sessions_event_id_events"),
        ("room_parallel = true", "fk_sessions_room_id_rooms"),
        ("room_seats = 2147483647", "fk_sessions_room_id_rooms"),
    ],
)
def test_a_copy_of_the_event_or_the_room_cannot_lie(
    make: Factory, event: Event, refusal: Refusal, lie: str, key: str
) -> None:
    session = plan(make, event, 0, make.room(event, capacity=5))
    assert refusal(f"UPDATE sessions SET {lie} WHERE id = :session", session=session.id) == key
    column, value = lie.split(" = ")
    columns, copied = INSERT.split("SELECT")
    lying = f"{columns} SELECT {copied.replace(column, value, 1)}"
    assert refusal(lying, session=session.id, **to(event, 9)) == key


# Times


def test_a_session_lies_inside_its_event(make: Factory, event: Event, refusal: Refusal, run: Run) -> None:
    session = plan(make, event, 0)
    for hour in (-0.5, 71.5, 80):
        assert refusal(INSERT, session=session.id, **to(event, hour)) == INSIDE
        assert refusal(MOVE, session=session.id, **to(event, hour)) == INSIDE
    run(MOVE, session=session.id, **to(event, 71))
    shrink = "UPDATE events SET {0} WHERE id = :event"
    assert refusal(shrink.format("end_at = end_at - interval '1 hour'"), event=event.id) == INSIDE
    later = "start_at = start_at + interval '71 hours 1 minute'"
    assert refusal(shrink.format(later), event=event.id) == INSIDE
    run(shrink.format("start_at = start_at + interval '71 hours'"), event=event.id)
    run("UPDATE sessions SET deleted_at = now() WHERE id = :session", session=session.id)
    run(
        shrink.format("start_at = start_at - interval '1 hour', end_at = end_at - interval '1 hour'"),
        event=event.id,
    )


@pytest.mark.parametrize(("table", "minutes"), [("events", 0), ("events", -1), ("sessions", 0)])
def test_nothing_ends_before_it_starts(
    make: Factory, event: Event, refusal: Refusal, table: str, minutes: int
) -> None:
    row = event if table == "events" else plan(make, event, 1)
    end = f"UPDATE {table} SET end_at = start_at + make_interval(mins => :minutes) WHERE id = :id"
    assert refusal(end, minutes=minutes, id=row.id) == f"ck_{table}_ends_after_start"


def test_a_session_ends_after_it_starts(make: Factory, event: Event, refusal: Refusal) -> None:
    session = plan(make, event, 1)
    backwards = {"start": event.end_at, "end": event.start_at}
    assert refusal(MOVE, session=session.id, **backwards) == "ck_sessions_ends_after_start"


def test_registration_closes_after_it_opens(event: Event, refusal: Refusal) -> None:
    close = "UPDATE events SET registration_opens_at = now(), registration_closes_at = now()"
    assert refusal(close, id=event.id) == "ck_events_registration_closes_after_opening"


# Speakers


SPEAK = """
    INSERT INTO session_speakers (session_id, speaker_id, during)
    SELECT id, :speaker, during FROM sessions WHERE id = :session
"""


@pytest.mark.parametrize("where", ["in one event", "across events"])
def test_a_speaker_is_in_one_place_at_a_time(
    make: Factory, event: Event, refusal: Refusal, run: Run, where: str
) -> None:
    speaker = make.speaker()
    other = event if where == "in one event" else make.event()
    plan(make, event, 0, None, speaker)
    clash, next_hour = plan(make, other, 0.5), plan(make, other, 1)
    assert refusal(SPEAK, session=clash.id, speaker=speaker.id) == SPEAKER
    run(SPEAK, session=next_hour.id, speaker=speaker.id)
    assert refusal(MOVE, session=next_hour.id, **to(other, 0.5)) == SPEAKER


def test_moving_a_session_moves_its_speakers_with_it(
    make: Factory, event: Event, speaker: Speaker, run: Run
) -> None:
    session = plan(make, event, 0, None, speaker, make.speaker())
    run(MOVE, session=session.id, **to(event, 5))
    ranges = run("SELECT lower(during), upper(during) FROM session_speakers").all()
    assert [tuple(row) for row in ranges] == [tuple(to(event, 5).values())] * 2


def test_a_speaker_s_time_cannot_lie(make: Factory, event: Event, speaker: Speaker, refusal: Refusal) -> None:
    session = plan(make, event, 0, None, speaker)
    key = "fk_session_speakers_session_id_sessions"
    for lie in ("'empty'", "tstzrange(now(), now() + interval '1 hour')"):
        assert refusal(f"UPDATE session_speakers SET during = {lie}") == key
    insert = "INSERT INTO session_speakers VALUES (:session, :speaker, 'empty')"
    assert refusal(insert, session=session.id, speaker=make.speaker().id) == key


def test_a_speaker_who_speaks_is_not_deleted(
    make: Factory, event: Event, speaker: Speaker, refusal: Refusal
) -> None:
    plan(make, event, 0, None, speaker)
    delete = "DELETE FROM speakers WHERE id = :speaker"
    assert refusal(delete, speaker=speaker.id) == "fk_session_speakers_speaker_id_speakers"


# Swaps


def test_two_sessions_swap_their_times_when_they_are_judged_at_the_end(
    make: Factory, event: Event, speaker: Speaker, refusal: Refusal, run: Run
) -> None:
    room = make.room(event)
    one, two = plan(make, event, 0, room, speaker), plan(make, event, 1, room, speaker)
    assert refusal(MOVE, session=one.id, **to(event, 1)) == ROOM
    run(DEFER)
    run(MOVE, session=one.id, **to(event, 1))
    run(MOVE, session=two.id, **to(event, 0))
    run(JUDGE)
    order = run("SELECT id FROM sessions ORDER BY start_at").scalars().all()
    assert order == [two.id, one.id]
    spoken = run("SELECT session_id FROM session_speakers ORDER BY lower(during)").scalars().all()
    assert spoken == [two.id, one.id]


@pytest.mark.parametrize("constraint", [ROOM, SPEAKER])
def test_half_a_swap_is_refused_at_the_end(
    make: Factory, event: Event, refusal: Refusal, constraint: str
) -> None:
    room = make.room(event) if constraint == ROOM else None
    speakers = (make.speaker(),) if constraint == SPEAKER else ()
    one = plan(make, event, 0, room, *speakers)
    plan(make, event, 1, room, *speakers)
    assert refusal(DEFER, MOVE, JUDGE, session=one.id, **to(event, 1)) == constraint


# Texts and sets


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("users SET email = 'Ana@example.com'", "ck_users_email_is_lower_case"),
        ("users SET email = 'same@example.com'", "uq_users_email"),
        ("users SET role = 'KING'", "ck_users_role_is_known"),
        ("events SET status = 'LOST'", "ck_events_status_is_known"),
        ("events SET name = ''", "ck_events_has_a_name"),
        ("sessions SET title = ''", "ck_sessions_has_a_title"),
        ("sessions SET capacity_total = 0", "ck_sessions_capacity_is_positive"),
        ("rooms SET name = ''", "ck_rooms_has_a_name"),
        ("rooms SET capacity = 0", "ck_rooms_capacity_is_positive"),
        ("rooms SET name = CASE WHEN id % 2 = 0 THEN 'Aula' ELSE 'AULA' END", "uq_rooms_event_id_name"),
        ("speakers SET full_name = ''", "ck_speakers_has_a_name"),
        ("registrations SET status = 'LOST'", "ck_registrations_status_is_known"),
        ("team_members SET role = 'OWNER'", "ck_team_members_role_is_known"),
    ],
)
def test_no_row_says_what_no_answer_could(
    make: Factory, event: Event, refusal: Refusal, change: str, constraint: str
) -> None:
    plan(make, event, 0, make.room(event), make.speaker())
    make.room(event)
    make.registration(event)
    make.member(event, TeamRole.STAFF)
    assert refusal(f"UPDATE {change}") == constraint


# Sign-ins and keys


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("sign_ins SET family_digest = 'short'", "ck_sign_ins_family_digest_is_sha256"),
        ("sign_ins SET token_digest = 'short'", "ck_sign_ins_token_digest_is_sha256"),
        ("sign_ins SET family_digest = sha256('same')", "uq_sign_ins_family_digest"),
        ("sign_ins SET last_used_at = expires_at", "ck_sign_ins_times_in_order"),
        ("sign_ins SET last_used_at = created_at - interval '1 day'", "ck_sign_ins_times_in_order"),
        ("sign_ins SET user_id = 2147483647", "fk_sign_ins_user_id_users"),
        ("api_keys SET key_digest = 'short'", "ck_api_keys_digest_is_sha256"),
        ("api_keys SET key_digest = sha256('same')", "uq_api_keys_key_digest"),
        ("api_keys SET scopes = '{}'", "ck_api_keys_scopes_are_known"),
        ("api_keys SET scopes = '{read,admin}'", "ck_api_keys_scopes_are_known"),
        ("api_keys SET scopes = '{read,NULL}'", "ck_api_keys_scopes_are_known"),
        ("api_keys SET name = ''", "ck_api_keys_has_a_name"),
        ("api_keys SET expires_at = created_at", "ck_api_keys_ends_after_it_was_made"),
        ("api_keys SET user_id = 2147483647", "fk_api_keys_user_id_users"),
    ],
)
def test_what_opens_an_account_is_whole(
    make: Factory, refusal: Refusal, change: str, constraint: str
) -> None:
    for _ in range(2):
        make.api_key(make.user())
    assert refusal(f"UPDATE {change}") == constraint


def test_what_opens_an_account_goes_with_it(make: Factory, run: Run) -> None:
    make.api_key(make.user())
    run("DELETE FROM users")
    assert run("SELECT (SELECT count(*) FROM sign_ins) + (SELECT count(*) FROM api_keys)").scalar_one() == 0
