"""A plain request and the same one, made to go the framework's usual way, have the same answer and effect."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from app.core.gate import Lane
from app.dependencies.straight import StraightRoute, has_straight_way
from app.models import User
from app.tests.conftest import Caller
from app.tests.factories import Factory
from app.tests.routers.conftest import SignedIn, refused

# Nobody reads it, so it changes nothing but the way.
USUAL = "?way=usual"
VARYING = {"date", "x-request-id", "location", "content-length", "etag", "ratelimit"}


@pytest.fixture(params=["", USUAL], ids=["straight", "usual"])
def way(request: pytest.FixtureRequest) -> str:
    """Return what makes a request go one way or the other."""
    found: str = request.param
    return found


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def caller(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def test_writes_that_need_no_more_than_a_transaction_have_a_straight_way(app: FastAPI) -> None:
    usual = {
        (method, route.path)
        for route in _routes(app)
        if isinstance(route, StraightRoute) and not has_straight_way(route)
        for method in route.methods or ()
        if method != "GET"
    }
    assert usual == {("PATCH", "/users/me"), ("POST", "/users/me/calendar")}


def test_what_is_made_is_answered_alike(caller: Caller, make: Factory, owner: User) -> None:
    event = make.event(owner)
    answers = [
        caller.post(f"/rooms{way}", json={"event_id": event.id, "name": f"Sala {i}"})
        for i, way in enumerate(("", USUAL))
    ]
    assert [_shape(answer) for answer in answers] == [(201, *_shape(answers[0])[1:])] * 2


def test_where_it_can_be_read_is_said_either_way(caller: Caller, way: str) -> None:
    made = caller.post(f"/speakers{way}", json={"full_name": "Ana"})
    assert made.headers["location"] == f"/api/v1/speakers/{made.json()['id']}"


@pytest.fixture
def lanes(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> list[Lane]:
    """Collect where requests wait for their turn."""
    found: list[Lane] = []
    gate = app.state.store.gate
    place = gate.place

    def noting(lane: Lane = Lane.PUBLIC, leaving: Any = None) -> Any:
        found.append(lane)
        return place(lane, leaving)

    monkeypatch.setattr(gate, "place", noting)
    return found


def test_a_check_in_waits_at_the_door_either_way(
    caller: Caller, make: Factory, owner: User, way: str, lanes: list[Lane]
) -> None:
    event = make.event(owner)
    scan = {"ticket_code": make.registration(event).ticket_code}
    assert caller.post(f"/events/{event.id}/check-ins{way}", json=scan).status_code == 201
    assert set(lanes) == {Lane.DOOR}


def test_an_edit_waits_with_the_public_either_way(
    caller: Caller, make: Factory, owner: User, way: str, lanes: list[Lane]
) -> None:
    event = make.event(owner)
    assert caller.patch(f"/events/{event.id}{way}", json={"name": "Jazz"}).status_code == 200
    assert set(lanes) == {Lane.PUBLIC}


def test_a_refusal_undoes_its_transaction_either_way(
    caller: Caller, make: Factory, owner: User, way: str
) -> None:
    event = make.event(owner)
    room = make.room(event)
    body = {"event_id": event.id, "name": room.name}
    assert refused(caller.post(f"/rooms{way}", json=body)) == (409, "room-name-taken")
    assert len(caller.get(f"/rooms?event_id={event.id}").json()) == 1


def test_a_refusal_at_the_door_is_kept_either_way(
    caller: Caller, make: Factory, owner: User, way: str
) -> None:
    event = make.event(owner)
    path = f"/events/{event.id}/check-ins"
    assert refused(caller.post(f"{path}{way}", json={"ticket_code": "forged"})) == (404, "unknown-ticket")
    assert [scan["verdict"] for scan in caller.get(path).json()["items"]] == ["unknown-ticket"]


def test_a_first_scan_and_a_second_are_told_apart_either_way(
    caller: Caller, make: Factory, owner: User, way: str
) -> None:
    event = make.event(owner)
    body = {"ticket_code": make.registration(event).ticket_code}
    answers = [caller.post(f"/events/{event.id}/check-ins{way}", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]


def test_another_version_is_refused_either_way(caller: Caller, make: Factory, owner: User, way: str) -> None:
    event = make.event(owner)
    tag = caller.get(f"/events/{event.id}").headers["etag"]
    path = f"/events/{event.id}{way}"
    assert caller.patch(path, json={"name": "First"}, headers={"If-Match": tag}).status_code == 200
    second = caller.patch(path, json={"name": "Second"}, headers={"If-Match": tag})
    assert refused(second) == (412, "precondition-failed")


def test_nothing_is_said_of_what_is_gone_either_way(
    caller: Caller, make: Factory, owner: User, way: str
) -> None:
    event = make.event(owner)
    gone = caller.delete(f"/events/{event.id}{way}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert refused(caller.get(f"/events/{event.id}")) == (404, "not-found")


def test_who_changed_what_from_where_is_told_either_way(
    caller: Caller, make: Factory, owner: User, way: str
) -> None:
    event = make.event(owner)
    made = caller.post(f"/rooms{way}", json={"event_id": event.id, "name": "Aula"})
    entry = caller.get(f"/events/{event.id}/audit").json()["items"][0]
    assert (entry["entity"], entry["entity_id"]) == ("room", made.json()["id"])
    said = (entry["actor"]["id"], entry["ip"], entry["request_id"])
    assert said == (owner.id, "testclient", made.headers["x-request-id"])


def test_a_key_does_what_its_scopes_say_either_way(
    running_app: TestClient, make: Factory, owner: User, way: str
) -> None:
    scripts = [Caller(running_app, make.api_key(owner, scope)[0]) for scope in ("write", "read", "check-in")]
    answers = [script.post(f"/speakers{way}", json={"full_name": "Ana"}) for script in scripts]
    assert [answer.status_code for answer in answers] == [201, 403, 403]


def test_a_key_is_used_either_way(
    running_app: TestClient, app: FastAPI, make: Factory, owner: User, way: str
) -> None:
    key, row = make.api_key(owner)
    app.state.key_uses.take()
    Caller(running_app, key).post(f"/speakers{way}", json={"full_name": "Ana"})
    assert list(app.state.key_uses.take()) == [row.key_digest]


def test_no_token_is_judged_before_a_body_that_is_plain_either_way(anonymous: Caller, way: str) -> None:
    assert refused(anonymous.post(f"/speakers{way}", json={"full_name": "Ana"})) == (401, "unauthorized")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"full_name": 7}', b'{"nobody": "Ana"}', b"[" * 100_000], ids=repr
)
def test_a_body_that_is_not_plain_is_explained_the_usual_way(caller: Caller, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    straight, usual = (
        caller.post(f"/speakers{way}", content=content, headers=headers) for way in ("", USUAL)
    )
    assert straight.status_code == usual.status_code == 422
    assert straight.json()["errors"] == usual.json()["errors"]


def _shape(answer: Any) -> tuple[int, list[str], dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status_code, list(answer.json()), headers


def _routes(routes: Any) -> Any:
    for route in routes.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router)
