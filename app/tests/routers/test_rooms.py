"""Rooms over HTTP."""

import pytest

from app.models import Event, User
from app.tests.conftest import Caller
from app.tests.factories import Factory, soon
from app.tests.routers.conftest import SignedIn, at, ids, refused, sent


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner)


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def test_a_new_room_is_listed_with_the_others_by_name(
    anonymous: Caller, me: Caller, make: Factory, event: Event
) -> None:
    make.room(event, name="Zeta")
    make.room(make.event(), name="Elsewhere")
    response = me.post("/rooms", json={"event_id": event.id, "name": "Aula", "capacity": 30})
    assert response.status_code == 201
    assert response.json() == {
        "id": response.json()["id"],
        "event_id": event.id,
        "name": "Aula",
        "capacity": 30,
        "allow_parallel": False,
    }
    listed = anonymous.get(f"/rooms?event_id={event.id}").json()
    assert [room["name"] for room in listed] == ["Aula", "Zeta"]
    assert listed[0] == response.json()


def test_a_room_may_have_no_capacity_and_allow_parallel_sessions(me: Caller, event: Event) -> None:
    response = me.post("/rooms", json={"event_id": event.id, "name": "Patio", "allow_parallel": True})
    assert (response.json()["capacity"], response.json()["allow_parallel"]) == (None, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", "a\0"),
        ("capacity", 0),
        ("capacity", 10**12),
        ("allow_parallel", None),
        ("event_id", 2**31),
        ("seats", 3),
    ],
)
def test_a_room_that_is_not_valid_is_refused(me: Caller, event: Event, field: str, value: object) -> None:
    response = me.post("/rooms", json={"event_id": event.id, "name": "Aula", field: value})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/{field}"]


def test_a_name_is_taken_once_in_an_event_in_whatever_case(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    make.room(event, name="Aula Ñandú")
    other = make.room(event, name="Other")
    again = {"event_id": event.id, "name": "AULA ñandú"}
    assert refused(me.post("/rooms", json=again)) == (409, "room-name-taken")
    assert refused(me.patch(f"/rooms/{other.id}", json={"name": "aula ñandú"})) == (409, "room-name-taken")
    assert me.post("/rooms", json={**again, "event_id": make.event(owner).id}).status_code == 201


def test_a_room_may_change_the_case_of_its_own_name(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, name="aula")
    response = me.patch(f"/rooms/{room.id}", json={"name": "AULA"})
    assert (response.status_code, response.json()["name"]) == (200, "AULA")


def test_patch_changes_what_the_body_names_only(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, name="Aula", capacity=30, allow_parallel=True)
    whole = {"id": room.id, "event_id": event.id, "name": "Aula", "capacity": 30, "allow_parallel": True}
    path = f"/rooms/{room.id}"
    assert me.patch(path, json={}).json() == whole
    assert me.patch(path, json={"name": "Sala"}).json() == {**whole, "name": "Sala"}
    assert me.patch(path, json={"capacity": None}).json() == {**whole, "name": "Sala", "capacity": None}


def test_a_session_shows_the_name_its_room_has_today(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, name="Before")
    session = make.session(event, room=room)
    me.patch(f"/rooms/{room.id}", json={"name": "Today"})
    assert me.get(f"/sessions/{session.id}").json()["room"] == "Today"


def test_a_room_with_sessions_stays_and_names_them(me: Caller, make: Factory, event: Event) -> None:
    room, speaker = make.room(event, name="Aula"), make.speaker()
    later = make.session(event, room=room, title="Later", **at(event, 3))
    first = make.session(event, room=room, title="First", speakers=(speaker,))
    response = me.delete(f"/rooms/{room.id}")
    assert refused(response) == (409, "room-in-use")
    assert response.json()["sessions"] == [
        {
            "session_id": session.id,
            "title": title,
            **sent(at(event, hour)),
            "room": "Aula",
            "speaker_ids": speaker_ids,
        }
        for session, title, hour, speaker_ids in (
            (first, "First", 0, [speaker.id]),
            (later, "Later", 3, []),
        )
    ]


def test_a_room_whose_sessions_are_all_deleted_can_go(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event)
    session = make.session(event, room=room)
    assert me.delete(f"/sessions/{session.id}").status_code == 204
    response = me.delete(f"/rooms/{room.id}")
    assert (response.status_code, response.content) == (204, b"")
    assert ids(me.get(f"/rooms?event_id={event.id}")) == []


def test_a_room_does_not_shrink_below_the_sessions_in_it(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, capacity=50)
    large = make.session(event, room=room, own_capacity=40)
    make.session(event, room=room, own_capacity=20, **at(event, 1))
    make.session(event, room=room, own_capacity=45, deleted_at=soon(-1), **at(event, 2))
    path = f"/rooms/{room.id}"
    response = me.patch(path, json={"capacity": 39})
    assert refused(response) == (409, "room-in-use")
    assert [session["session_id"] for session in response.json()["sessions"]] == [large.id]
    assert me.patch(path, json={"capacity": 40}).json()["capacity"] == 40


def test_a_room_does_not_shrink_below_the_seats_taken_in_it(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, capacity=50)
    make.seat(make.session(event, room=room))
    visited = make.session(event, room=room, **at(event, 1))
    for _ in range(2):
        make.seat(visited)
    path = f"/rooms/{room.id}"
    response = me.patch(path, json={"capacity": 1})
    assert refused(response) == (409, "room-in-use")
    assert [session["session_id"] for session in response.json()["sessions"]] == [visited.id]
    assert me.patch(path, json={"capacity": 2}).json()["capacity"] == 2


def test_a_session_without_places_of_its_own_follows_its_room(
    me: Caller, make: Factory, event: Event
) -> None:
    room = make.room(event, capacity=50)
    session = make.session(event, room=room)
    me.patch(f"/rooms/{room.id}", json={"capacity": 10})
    shown = me.get(f"/sessions/{session.id}").json()
    assert (shown["capacity_total"], shown["capacity_available"]) == (10, 10)


def test_a_room_with_parallel_sessions_goes_on_allowing_them(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, allow_parallel=True)
    pair = [make.session(event, room=room, **at(event, hour)).id for hour in (0, 0.5)]
    make.session(event, room=room, **at(event, 1.5))
    path = f"/rooms/{room.id}"
    response = me.patch(path, json={"allow_parallel": False})
    assert refused(response) == (409, "room-in-use")
    assert [session["session_id"] for session in response.json()["sessions"]] == pair
    me.delete(f"/sessions/{pair[1]}")
    assert me.patch(path, json={"allow_parallel": False}).json()["allow_parallel"] is False


def test_a_room_that_is_not_there_is_not_found(me: Caller, make: Factory, owner: User) -> None:
    of_deleted_event = make.room(make.event(owner, deleted_at=soon(-1)))
    for room_id in (of_deleted_event.id, 2**31 - 1):
        assert refused(me.patch(f"/rooms/{room_id}", json={"name": "x"})) == (404, "not-found")
        assert refused(me.delete(f"/rooms/{room_id}")) == (404, "not-found")
    assert refused(me.post("/rooms", json={"event_id": 2**31 - 1, "name": "x"})) == (404, "not-found")


def test_the_list_needs_its_event(anonymous: Caller) -> None:
    response = anonymous.get("/rooms")
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == ["query/event_id"]
    assert refused(anonymous.get("/rooms?event_id=2147483648")) == (422, "invalid-request")


def test_the_list_costs_the_same_queries_whatever_its_length(
    anonymous: Caller, make: Factory, event: Event, statements: list[str]
) -> None:
    path, costs = f"/rooms?event_id={event.id}", []
    for more in (1, 2):
        for _ in range(more):
            make.room(event)
        statements.clear()
        costs.append((len(anonymous.get(path).json()), len(statements)))
    assert costs == [(1, 2), (3, 2)]
