"""Plain requests go past the framework's dependency solver, and nobody can tell by the answer."""

from typing import Any

import pytest
from fastapi.dependencies.utils import solve_dependencies

from app.models import Event
from app.tests.conftest import Caller
from app.tests.factories import Factory
from app.tests.routers.conftest import refused


@pytest.fixture
def event(make: Factory) -> Event:
    event = make.event(name="Jazz")
    make.session(event, room=make.room(event), speakers=(make.speaker(event=event),))
    return event


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the paths of requests whose dependencies the framework works out."""
    paths: list[str] = []

    async def noting(*, request: Any, **about: Any) -> Any:
        paths.append(request.url.path)
        return await solve_dependencies(request=request, **about)

    monkeypatch.setattr("fastapi.routing.solve_dependencies", noting)
    return paths


@pytest.mark.parametrize(
    "path",
    [
        "/events",
        "/events?size=5&page=1&sort=-name",
        "/events?search=jazz&has_places=true&from=2026-01-01T00:00:00Z",
        "/events?size=1&size=3&unknown=x",
        "/events/{event}",
        "/events/{event}/calendar.ics",
        "/sessions?event_id={event}",
        "/sessions/events/{event}",
        "/speakers?event_id={event}",
        "/rooms?event_id={event}",
    ],
)
def test_what_everybody_reads_goes_the_straight_way(
    anonymous: Caller, event: Event, solved: list[str], path: str
) -> None:
    assert anonymous.get(path.format(event=event.id)).status_code == 200
    assert solved == []


def test_a_walk_goes_the_straight_way(
    anonymous: Caller, make: Factory, event: Event, solved: list[str]
) -> None:
    other = make.event()
    first = anonymous.get("/events?size=1").json()
    second = anonymous.get("/events", params={"size": 1, "cursor": first["next_cursor"]}).json()
    assert {item["id"] for page in (first, second) for item in page["items"]} == {event.id, other.id}
    assert solved == []


@pytest.mark.parametrize(
    "path", ["/events?size=0", "/events?cursor=made-up", "/events?sort=price", "/events/0", "/sessions"]
)
def test_what_is_wrong_is_explained_by_the_usual_way(anonymous: Caller, solved: list[str], path: str) -> None:
    assert refused(anonymous.get(path)) == (422, "invalid-request")
    assert len(solved) == 1


def test_both_ways_answer_the_same(anonymous: Caller, event: Event, solved: list[str]) -> None:
    straight, usual = (anonymous.get(f"/events/{event.id}{more}") for more in ("", "?unknown=x"))
    assert (usual.content, usual.headers["etag"]) == (straight.content, straight.headers["etag"])
    assert len(solved) == 1
