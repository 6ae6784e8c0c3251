"""The older addresses, kept for a frontend that was written for them."""

from fastapi import FastAPI

from app.models.enums import EventStatus
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import Factory
from app.tests.routers.conftest import SignedIn, at, ids, refused, sent


def test_my_registrations_come_as_a_plain_array_newest_first(signed_in: SignedIn, make: Factory) -> None:
    person = make.user()
    made = [make.registration(make.event(), person).id for _ in range(11)]
    me = signed_in(person)
    array = me.get("/registrations/events")
    assert (array.status_code, ids(array)) == (200, made[::-1])
    assert array.json() == me.get("/registrations/me", params={"size": 100}).json()["items"]


def test_sessions_are_listed_by_path_as_by_query(
    anonymous: Caller, make: Factory, statements: list[str]
) -> None:
    event, costs = make.event(), []
    by_path, by_query = f"/sessions/events/{event.id}", f"/sessions?event_id={event.id}"
    for hours in ([1], [0, 2]):
        for hour in hours:
            make.session(event, speakers=(make.speaker(),), **at(event, hour))
        statements.clear()
        listed = anonymous.get(by_path).json()
        costs.append((len(listed), len(statements)))
    assert listed == anonymous.get(by_query).json()
    assert costs == [(1, 2), (3, 2)]


def test_the_sessions_of_a_draft_are_hidden_there_too(anonymous: Caller, make: Factory) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    assert refused(anonymous.get(f"/sessions/events/{draft.id}")) == (404, "not-found")


def test_a_session_planned_by_path_belongs_to_that_event_whatever_the_body_says(
    signed_in: SignedIn, make: Factory
) -> None:
    owner = make.user()
    event, other = make.event(owner), make.event(owner)
    me, body = signed_in(owner), {"title": "Talk", **sent(at(event, 0)), "capacity_available": 5}
    path = f"/sessions/events/{event.id}"
    for hour, event_id in enumerate((other.id, "none", None)):
        response = me.post(path, json={**body, **sent(at(event, hour)), "event_id": event_id})
        assert (response.status_code, response.json()["event_id"]) == (201, event.id)
        assert response.headers["location"] == f"{PREFIX}/sessions/{response.json()['id']}"
    assert me.post(path, json={**body, **sent(at(event, 5))}).status_code == 201
    assert ids(me.get(f"/sessions?event_id={other.id}")) == []


def test_a_clash_is_refused_there_too(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    make.session(event, room=make.room(event, name="Aula"))
    body = {"title": "Talk", **sent(at(event, 0)), "room": "Aula"}
    response = signed_in(owner).post(f"/sessions/events/{event.id}", json=body)
    assert refused(response) == (409, "room-taken")


def test_the_aliases_are_marked_as_deprecated_and_nothing_else_is(app: FastAPI) -> None:
    deprecated = [
        f"{method.upper()} {path.removeprefix(PREFIX)}"
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if operation.get("deprecated")
    ]
    assert sorted(deprecated) == [
        "GET /registrations/events",
        "GET /sessions/events/{event_id}",
        "POST /sessions/events/{event_id}",
    ]
