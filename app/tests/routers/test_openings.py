"""What a refused session is offered instead: nearest first, and each of it would be accepted."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from app.models import Event, User
from app.models.enums import EventStatus
from app.tests.conftest import Caller
from app.tests.factories import HOUR, Factory
from app.tests.routers.conftest import SignedIn, at, refused, sent, z

Offered = Callable[..., list[tuple[float, str | None]]]


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    """Make an event of three days, which are 72 hours."""
    return make.event(owner)


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


@pytest.fixture
def offered(me: Caller, event: Event, connection: Connection) -> Offered:
    """Ask for a session, see it refused and each suggestion accepted, and return them: hour and room."""

    def ask(method: str, path: str, asked: dict[str, Any], problem: str = "room-taken") -> Any:
        response = me.request(method, path, json=asked)
        assert refused(response) == (409, problem)
        for suggestion in response.json()["suggestions"]:
            before = connection.begin_nested()
            assert me.request(method, path, json={**asked, **suggestion}).status_code in {200, 201}
            before.rollback()
        hours = {z(event.start_at + minute * HOUR / 60): minute / 60 for minute in range(72 * 60)}
        return [(hours[one["start_at"]], one["room"]) for one in response.json()["suggestions"]]

    return ask


def plan(event: Event, hour: float = 0, hours: float = 1, **fields: Any) -> dict[str, Any]:
    return {"event_id": event.id, "title": "New", **sent(at(event, hour, hours)), **fields}


def test_the_same_time_in_rooms_that_fit_comes_first_then_the_nearest_times(
    make: Factory, event: Event, offered: Offered
) -> None:
    wanted = make.room(event, name="Wanted", capacity=20)
    for name, capacity in (("Large", 90), ("Small", 10), ("Fitting", 15), ("Vast", None), ("Larger", 95)):
        make.room(event, name=name, capacity=capacity)
    make.session(event, room=wanted, **at(event, 2))
    asked = plan(event, 2, room="wanted", capacity_total=15)
    assert offered("POST", "/sessions", asked) == [
        (2, "Fitting"),
        (2, "Large"),
        (2, "Larger"),
        (1, "Wanted"),
        (3, "Wanted"),
    ]


def test_a_suggestion_is_whole(me: Caller, make: Factory, event: Event) -> None:
    make.session(event, room=make.room(event, name="Only"), **at(event, 0, 2))
    response = me.post("/sessions", json=plan(event, 0.5, 1.5, room="Only"))
    assert response.json()["suggestions"] == [{**sent(at(event, 2, 1.5)), "room": "Only"}]


def test_gaps_that_are_too_short_are_left_out_and_the_nearest_start_within_the_others_is_found(
    make: Factory, event: Event, offered: Offered
) -> None:
    room = make.room(event, name="Busy")
    for hour, hours in ((10, 2), (12.5, 2), (0, 5), (16, 56)):
        make.session(event, room=room, **at(event, hour, hours))
    # Free are 5 to 10, 12 to 12:30 and 14:30 to 16.
    assert offered("POST", "/sessions", plan(event, 11, 1, room="Busy")) == [(9, "Busy"), (14.5, "Busy")]
    assert offered("POST", "/sessions", plan(event, 15.5, 1.5, room="Busy")) == [
        (14.5, "Busy"),
        (8.5, "Busy"),
    ]


def test_a_full_room_of_a_full_event_has_nothing_to_offer(
    make: Factory, event: Event, offered: Offered
) -> None:
    make.session(event, room=make.room(event, name="Full"), **at(event, 0, 72))
    assert offered("POST", "/sessions", plan(event, room="Full")) == []


def test_room_and_speakers_have_to_be_free_together_wherever_the_speakers_are(
    make: Factory, owner: User, event: Event, offered: Offered
) -> None:
    one, two, elsewhere = make.speaker(owner), make.speaker(owner), make.event(status=EventStatus.DRAFT)
    room = make.room(event, name="Aula")
    make.session(event, room=room, **at(event, 2))
    make.session(event, speakers=(one,), **at(event, 3))
    make.session(elsewhere, speakers=(two,), **at(elsewhere, 0, 2))
    asked = plan(event, 2, room="Aula", speaker_ids=[one.id, two.id])
    (first, *_) = offered("POST", "/sessions", asked)
    assert first == (4, "Aula")


def test_a_busy_speaker_is_offered_other_times_in_the_wanted_room_or_in_none(
    make: Factory, owner: User, event: Event, offered: Offered
) -> None:
    speaker = make.speaker(owner)
    make.session(event, speakers=(speaker,), **at(event, 2, 2))
    make.session(event, room=make.room(event, name="Aula"), **at(event, 4))
    nowhere = plan(event, 3, speaker_ids=[speaker.id])
    assert offered("POST", "/sessions", nowhere, "speaker-busy") == [(4, None), (1, None)]
    make.room(event, name="Patio")
    in_aula = offered("POST", "/sessions", {**nowhere, "room": "Aula"}, "speaker-busy")
    assert in_aula == [(4, "Patio"), (1, "Aula"), (5, "Aula"), (1, "Patio")]
    new_room = offered("POST", "/sessions", {**nowhere, "room": "New"}, "speaker-busy")
    assert new_room[0] == (4, "New")


def test_a_room_that_allows_parallel_sessions_is_always_free(
    make: Factory, event: Event, offered: Offered
) -> None:
    hall = make.room(event, name="Hall", allow_parallel=True)
    make.session(event, room=hall, **at(event, 0, 72))
    make.session(event, room=make.room(event, name="Aula"), **at(event, 0, 72))
    assert offered("POST", "/sessions", plan(event, 2, room="Aula")) == [(2, "Hall")]


def test_a_session_that_moves_is_not_in_its_own_way(make: Factory, event: Event, offered: Offered) -> None:
    room = make.room(event, name="Aula")
    moving = make.session(event, room=room, speakers=(make.speaker(),), **at(event, 2))
    for hour, hours in ((3, 69), (0, 1.5)):
        make.session(event, room=room, **at(event, hour, hours))
    asked = sent(at(event, 2.5))
    assert offered("PATCH", f"/sessions/{moving.id}", asked) == [(2, "Aula")]


def test_those_who_have_a_seat_have_to_be_free_too(make: Factory, event: Event, offered: Offered) -> None:
    moving, room = make.session(event, **at(event, 10)), make.room(event, name="Aula")
    make.session(event, room=room, **at(event, 2))
    attendee = make.registered(event)
    make.seat(moving, attendee)
    make.seat(make.session(event, **at(event, 3)), attendee)
    given_up = make.seat(make.session(event, **at(event, 1)), attendee)
    make.db.execute(text("UPDATE seats SET given_up_at = now() WHERE id = :id"), {"id": given_up.id})
    make.db.commit()
    asked = {**sent(at(event, 2)), "room": "Aula"}
    assert offered("PATCH", f"/sessions/{moving.id}", asked) == [(1, "Aula"), (4, "Aula")]


def test_a_room_holds_the_seats_that_are_taken(make: Factory, event: Event, offered: Offered) -> None:
    moving = make.session(event, **at(event, 10))
    for _ in range(2):
        make.seat(moving)
    make.session(event, room=make.room(event, name="Taken", capacity=5), **at(event, 0, 70))
    for name, capacity in (("One", 1), ("Two", 2)):
        make.room(event, name=name, capacity=capacity)
    asked = {**sent(at(event, 2)), "room": "Taken"}
    assert offered("PATCH", f"/sessions/{moving.id}", asked) == [(2, "Two"), (70, "Taken")]


def test_rooms_of_other_events_and_deleted_sessions_do_not_count(
    make: Factory, owner: User, event: Event, offered: Offered
) -> None:
    make.room(make.event(owner), name="Elsewhere")
    room = make.room(event, name="Aula")
    make.session(event, room=room, **at(event, 2))
    make.session(event, room=room, deleted_at=event.start_at, **at(event, 3))
    assert offered("POST", "/sessions", plan(event, 2.25, room="Aula")) == [(3, "Aula"), (1, "Aula")]
