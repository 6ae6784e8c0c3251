"""Sessions moved together over HTTP: all or none, and every conflict of the plan is told."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.models import Event, Session, User
from app.models.enums import EventStatus
from app.tests.conftest import Caller
from app.tests.factories import HOUR, Factory
from app.tests.routers.conftest import SignedIn, at, refused, sent, z

MOVES = "/sessions/moves"


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner)


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def plan(event: Event, *moves: dict[str, Any]) -> dict[str, Any]:
    return {"event_id": event.id, "moves": list(moves)}


def to(session: Session, event: Event, hour: float, **fields: Any) -> dict[str, Any]:
    """Ask that a session begin ``hour`` hours into its event, and be as long as it was."""
    return {"session_id": session.id, "start_at": z(event.start_at + hour * HOUR), **fields}


def everything(me: Caller, event: Event) -> Any:
    return me.get(f"/sessions?event_id={event.id}").json(), me.get(f"/rooms?event_id={event.id}").json()


def both(me: Caller, event: Event, *moves: dict[str, Any]) -> list[dict[str, Any]]:
    """Try a plan that is refused, and a dry run of it: both say the same, and nothing changes."""
    before = everything(me, event)
    response = me.post(MOVES, json=plan(event, *moves))
    assert refused(response) == (409, "schedule-conflict")
    rehearsed = me.post(f"{MOVES}?dry_run=true", json=plan(event, *moves))
    assert rehearsed.status_code == 200
    conflicts: list[dict[str, Any]] = response.json()["conflicts"]
    assert rehearsed.json()["conflicts"] == conflicts
    assert {one["id"] for one in rehearsed.json()["sessions"]} == {move["session_id"] for move in moves}
    assert everything(me, event) == before
    return conflicts


def told(conflict: dict[str, Any]) -> tuple[str, list[int], list[int], int | None]:
    """Return a conflict's kind, the sessions of the plan, those in the way, and how many people."""
    planned, there = (
        [session["session_id"] for session in conflict[name]] for name in ("sessions", "conflicts")
    )
    return conflict["kind"], planned, there, conflict["people"]


# Moving


def test_what_a_move_leaves_out_stays_and_the_answer_is_in_time_order(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    late = make.session(
        event, title="Late", room=make.room(event, name="Aula", capacity=7), **at(event, 5, 2)
    )
    early = make.session(event, title="Early", speakers=(make.speaker(owner),), **at(event, 1))
    before = {session["id"]: session for session in everything(me, event)[0]}
    longer = {"session_id": early.id, "end_at": z(event.start_at + 3 * HOUR)}
    response = me.post(MOVES, json=plan(event, to(late, event, 8), longer))
    assert response.status_code == 200
    assert response.json() == {
        "sessions": [
            {**before[early.id], **sent(at(event, 1, 2))},
            {**before[late.id], **sent(at(event, 8, 2))},
        ],
        "conflicts": [],
    }
    assert everything(me, event)[0] == response.json()["sessions"]


def test_a_session_moves_to_a_new_room_to_a_known_one_in_whatever_case_and_to_none(
    me: Caller, make: Factory, event: Event
) -> None:
    make.room(event, name="Aula", capacity=9)
    one, two, three, four = (make.session(event, room=make.room(event)) for _ in range(4))
    rooms = (one, "AULA"), (two, "Patio"), (three, None), (four, "patio")
    moves = [{"session_id": session.id, "room": room} for session, room in rooms]
    moves[3].update(sent(at(event, 4)))
    response = me.post(MOVES, json=plan(event, *moves))
    made = {one["id"]: (one["room"], one["capacity_total"]) for one in response.json()["sessions"]}
    assert made == {
        one.id: ("Aula", 9),
        two.id: ("Patio", None),
        three.id: (None, None),
        four.id: ("Patio", None),
    }


@pytest.mark.parametrize("count", [2, 5])
def test_sessions_go_round_through_each_other_s_times_with_rooms_speakers_and_attendees(
    me: Caller, make: Factory, owner: User, event: Event, count: int
) -> None:
    room, speaker, attendee = make.room(event), make.speaker(owner), make.registered(event)
    sessions = [
        make.session(event, room=room, speakers=(speaker,), **at(event, hour)) for hour in range(count)
    ]
    for session in sessions:
        make.seat(session, attendee)
    moves = [to(session, event, (hour + 1) % count) for hour, session in enumerate(sessions)]
    response = me.post(MOVES, json=plan(event, *moves))
    assert response.status_code == 200
    *others, last = [session.id for session in sessions]
    assert [session["id"] for session in response.json()["sessions"]] == [last, *others]
    assert refused(me.patch(f"/sessions/{last}", json=sent(at(event, 0.5)))) == (409, "room-taken")


@pytest.mark.parametrize("count", [2, 5])
def test_sessions_change_rooms_in_a_circle(me: Caller, make: Factory, event: Event, count: int) -> None:
    rooms = [make.room(event) for _ in range(count)]
    sessions = [make.session(event, room=room) for room in rooms]
    moves = [
        {"session_id": session.id, "room": rooms[place - 1].name} for place, session in enumerate(sessions)
    ]
    response = me.post(MOVES, json=plan(event, *moves))
    assert [session["room"] for session in response.json()["sessions"]] == [
        rooms[place - 1].name for place in range(count)
    ]


def test_moving_many_takes_as_many_statements_as_moving_one(
    me: Caller, make: Factory, owner: User, event: Event, statements: list[str]
) -> None:
    costs = []
    for count in (1, 3):
        sessions = [
            make.session(event, room=make.room(event), speakers=(make.speaker(owner),)) for _ in range(count)
        ]
        for dry_run in (True, False):
            moves = [to(session, event, 5, room=f"New {session.id}") for session in sessions]
            statements.clear()
            response = me.post(f"{MOVES}?dry_run={dry_run}", json=plan(event, *moves))
            costs.append((response.status_code, len(statements)))
    assert costs[:2] == costs[2:]
    assert {status for status, _ in costs} == {200}


def test_a_move_counts_as_an_edit_and_one_that_changes_nothing_does_not(
    me: Caller, make: Factory, event: Event
) -> None:
    moved, stays = make.session(event), make.session(event)
    response = me.post(MOVES, json=plan(event, to(moved, event, 1), {"session_id": stays.id}))
    assert response.status_code == 200
    for session in (moved, stays):
        make.db.refresh(session)
    assert (moved.version, stays.version) == (2, 1)


# Refusing


def test_sessions_that_meet_in_a_room_are_named_with_those_that_stay(
    me: Caller, make: Factory, event: Event
) -> None:
    room, speaker = make.room(event, name="Aula"), make.speaker()
    stays = make.session(event, title="Stays", room=room, speakers=(speaker,), **at(event, 2))
    make.session(event, room=room, **at(event, 3))
    one, two = make.session(event, title="One"), make.session(event, title="Two")
    conflicts = both(me, event, to(one, event, 1.5, room="aula"), to(two, event, 0.75, room="Aula"))
    assert [told(conflict) for conflict in conflicts] == [("room-taken", [one.id, two.id], [stays.id], None)]
    assert conflicts[0]["sessions"][0] == {
        "session_id": one.id,
        "title": "One",
        **sent(at(event, 1.5)),
        "room": "Aula",
        "speaker_ids": [],
    }
    assert conflicts[0]["conflicts"][0]["speaker_ids"] == [speaker.id]


def test_sessions_of_a_plan_meet_in_a_room_that_is_not_made_yet(
    me: Caller, make: Factory, event: Event
) -> None:
    one, two = make.session(event), make.session(event)
    moves = [{"session_id": one.id, "room": "New"}, {"session_id": two.id, "room": "NEW"}]
    assert [told(conflict) for conflict in both(me, event, *moves)] == [
        ("room-taken", [one.id, two.id], [], None)
    ]


def test_a_room_that_allows_it_and_sessions_that_touch_are_no_conflict(
    me: Caller, make: Factory, event: Event
) -> None:
    make.room(event, name="Hall", allow_parallel=True)
    room = make.room(event, name="Aula")
    make.session(event, room=room, **at(event, 2))
    one, two = make.session(event), make.session(event)
    before_and_after = to(one, event, 1, room="Aula"), to(two, event, 3, room="Aula")
    assert me.post(MOVES, json=plan(event, *before_and_after)).status_code == 200
    parallel = to(one, event, 1, room="Hall"), to(two, event, 1, room="Hall")
    assert me.post(MOVES, json=plan(event, *parallel)).status_code == 200


def test_a_speaker_who_is_elsewhere_is_a_conflict_and_a_strangers_draft_shows_its_times_only(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    hidden, speaker = make.event(status=EventStatus.DRAFT), make.speaker(owner)
    make.session(hidden, title="Secret", speakers=(speaker,), **at(hidden, 2))
    moving = make.session(event, speakers=(speaker, make.speaker()))
    (conflict,) = both(me, event, to(moving, event, 2.5))
    assert (conflict["kind"], conflict["conflicts"]) == ("speaker-busy", [sent(at(hidden, 2))])


def test_an_agenda_that_breaks_says_how_many_people(me: Caller, make: Factory, event: Event) -> None:
    other = make.event()
    stays, elsewhere = make.session(event, **at(event, 2)), make.session(other, **at(other, 2))
    moving, alone = make.session(event), make.session(event)
    for _ in range(3):
        attendee = make.registered(event)
        make.seat(moving, attendee)
        make.seat(stays, attendee)
    traveller = make.registered(event, other)
    make.seat(moving, traveller)
    make.seat(elsewhere, traveller)
    make.seat(alone)
    conflicts = both(me, event, to(moving, event, 2), to(alone, event, 2))
    assert [told(conflict) for conflict in conflicts] == [
        ("agenda-conflict", [moving.id], [stays.id], 3),
        ("agenda-conflict", [moving.id], [elsewhere.id], 1),
    ]


def test_a_seat_that_was_given_up_breaks_no_agenda(me: Caller, make: Factory, event: Event) -> None:
    stays, moving, attendee = make.session(event, **at(event, 2)), make.session(event), make.registered(event)
    make.seat(stays, attendee)
    seat = make.seat(moving, attendee)
    make.db.execute(text("UPDATE seats SET given_up_at = now() WHERE id = :id"), {"id": seat.id})
    make.db.commit()
    assert me.post(MOVES, json=plan(event, to(moving, event, 2))).status_code == 200


def test_every_conflict_of_a_plan_is_told_at_once(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    speaker, small = make.speaker(owner), make.room(event, name="Small", capacity=1)
    stays = make.session(event, room=make.room(event, name="Aula"), speakers=(speaker,), **at(event, 5))
    clashing = make.session(event, speakers=(speaker,))
    large, crowded, late = make.session(event, own_capacity=2), make.session(event), make.session(event)
    for _ in range(2):
        make.seat(crowded)
    conflicts = both(
        me,
        event,
        to(clashing, event, 5.5, room="aula"),
        {"session_id": large.id, "room": "Small"},
        to(crowded, event, 1, room=small.name),
        to(late, event, 71.5),
    )
    assert sorted(told(conflict) for conflict in conflicts) == sorted(
        [
            ("room-taken", [clashing.id], [stays.id], None),
            ("room-too-small", [crowded.id], [], None),
            ("room-too-small", [large.id], [], None),
            ("session-outside-event", [late.id], [], None),
            ("speaker-busy", [clashing.id], [stays.id], None),
        ]
    )


def test_a_cancelled_event_has_no_clashes(me: Caller, make: Factory, owner: User) -> None:
    event, speaker = make.event(owner, status=EventStatus.CANCELLED), make.speaker(owner)
    room = make.room(event)
    sessions = [make.session(event, room=room, speakers=(speaker,), **at(event, hour)) for hour in (0, 1)]
    for suffix in ("?dry_run=true", ""):
        response = me.post(MOVES + suffix, json=plan(event, to(sessions[0], event, 1)))
        assert (response.status_code, response.json()["conflicts"]) == (200, [])


# Dry runs


def test_a_dry_run_shows_the_sessions_as_they_would_be_and_changes_nothing(
    me: Caller, make: Factory, event: Event
) -> None:
    one = make.session(event, room=make.room(event, capacity=5), speakers=(make.speaker(),))
    two = make.session(event, own_capacity=3)
    make.room(event, name="Aula", capacity=40)
    before = everything(me, event)
    moves = to(one, event, 3, room="aula"), to(two, event, 2, room="New")
    rehearsed = me.post(f"{MOVES}?dry_run=true", json=plan(event, *moves))
    assert (rehearsed.status_code, rehearsed.json()["conflicts"]) == (200, [])
    assert everything(me, event) == before
    done = me.post(MOVES, json=plan(event, *moves))
    assert done.json() == rehearsed.json()


# What cannot be asked


def test_sessions_that_the_event_does_not_have_are_named(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    session, foreign = make.session(event), make.session(make.event(owner))
    deleted = make.session(event, deleted_at=event.start_at)
    unknown = 2**31 - 1
    moves = [{"session_id": key} for key in (unknown, session.id, foreign.id, deleted.id)]
    for suffix in ("", "?dry_run=true"):
        response = me.post(MOVES + suffix, json=plan(event, *moves))
        assert refused(response) == (409, "unknown-session")
        assert response.json()["session_ids"] == sorted([foreign.id, deleted.id, unknown])


def test_a_session_that_would_end_before_it_starts_is_named_by_its_place(
    me: Caller, make: Factory, event: Event
) -> None:
    fine, wrong = make.session(event), make.session(event)
    backwards = {"session_id": wrong.id, "end_at": z(wrong.start_at - timedelta(minutes=1))}
    response = me.post(MOVES, json=plan(event, to(fine, event, 2), backwards))
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/moves/1/end_at"]
