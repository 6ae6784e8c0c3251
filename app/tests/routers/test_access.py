"""Who may do what: every route, called by everybody, on an event that all may see and on a draft."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection

from app.core.security import ApiKeys, RefreshToken
from app.core.settings import PROJECT
from app.models.enums import EventStatus, Scope, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import PASSWORD, Factory
from app.tests.routers.conftest import SignedIn, at, sent

CALLERS = ("anonymous", "stranger", "staff", "manager", "owner", "admin")

OK = 0
ACCESS = {
    # Who holds it: anonymous, stranger, staff, manager, owner, admin; on a public event, then on a draft.
    "anyone": ((OK, OK, OK, OK, OK, OK), (OK, OK, OK, OK, OK, OK)),
    "all": ((OK, OK, OK, OK, OK, OK), (404, 404, OK, OK, OK, OK)),
    "user": ((401, OK, OK, OK, OK, OK), (401, OK, OK, OK, OK, OK)),
    "staff": ((401, 403, OK, OK, OK, OK), (401, 404, OK, OK, OK, OK)),
    "manager": ((401, 403, 403, OK, OK, OK), (401, 404, 403, OK, OK, OK)),
    "owner": ((401, 403, 403, 403, OK, OK), (401, 404, 403, 403, OK, OK)),
    "admin": ((401, 403, 403, 403, 403, OK), (401, 403, 403, 403, 403, OK)),
    # A registration is nobody else's to know of.
    "its user or staff": ((401, 404, OK, OK, OK, OK), (401, 404, OK, OK, OK, OK)),
    # A draft is not open: its team is told so, others do not learn of it.
    "its user": ((401, 404, 404, 404, OK, 404), (401, 404, 404, 404, OK, 404)),
    "user, if open": ((401, OK, OK, OK, OK, OK), (401, 404, 409, 409, 409, 409)),
}


@dataclass(frozen=True)
class Scene:
    """An event with all that belongs to it, as ids, and those who call."""

    event_id: int
    attended_event_id: int
    session_id: int
    free_session_id: int
    taken_session_id: int
    speaker_id: int
    room_id: int
    registration_id: int
    ticket_code: str
    token: str
    refresh_token: str
    sign_in_id: int
    key_id: int
    user_id: int
    email: str
    newcomer: str
    times: dict[str, str]
    callers: dict[str, Caller]
    keys: dict[str, Caller]


def scan(ticket_code: str) -> dict[str, str]:
    return {"ticket_code": ticket_code, "scanned_at": "2027-01-01T00:00:00Z", "client_id": "door 1, scan 1"}


Body = Callable[[Scene], dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """What is asked of a route: who may, the status of success, and the body or what else it needs."""

    access: str
    success: int
    body: Body | None = None
    query: str = ""
    form: Body | None = None
    event: str = "event_id"
    session: str = "session_id"


def answers(call: Call, status: EventStatus) -> dict[str, int]:
    """Return the status that each caller is answered with, on an event that all may see or on a draft."""
    on_public, on_draft = ACCESS[call.access]
    due = on_draft if status is EventStatus.DRAFT else on_public
    return {name: answer or call.success for name, answer in zip(CALLERS, due, strict=True)}


def account(scene: Scene) -> dict[str, Any]:
    return {"email": scene.newcomer, "password": PASSWORD}


def credentials(scene: Scene) -> dict[str, Any]:
    return {"email": scene.email, "password": PASSWORD}


def form(scene: Scene) -> dict[str, Any]:
    return {"username": scene.email, "password": PASSWORD}


def new_event(scene: Scene) -> dict[str, Any]:
    return {"name": "New", "capacity_total": 1, **scene.times}


def new_session(scene: Scene) -> dict[str, Any]:
    return {"event_id": scene.event_id, "title": "New", **scene.times}


def new_plan(scene: Scene) -> dict[str, Any]:
    return {"event_id": scene.event_id, "moves": [{"session_id": scene.session_id, **scene.times}]}


def new_room(scene: Scene) -> dict[str, Any]:
    return {"event_id": scene.event_id, "name": "New"}


def new_speaker(scene: Scene) -> dict[str, Any]:
    return {"event_id": scene.event_id, "full_name": "New"}


def new_member(scene: Scene) -> dict[str, Any]:
    return {"email": scene.newcomer.replace("new", "known"), "role": "STAFF"}


def new_schedule(_: Scene) -> dict[str, Any]:
    return {"schedule": {"conference": {"days": []}}}


def renamed(field: str) -> Body:
    return lambda _: {field: "Renamed"}


OF_EVENT = "?event_id={event_id}"

ROUTES = {
    "GET /health/live": Call("anyone", 200),
    "GET /health/ready": Call("anyone", 200),
    "POST /auth/register": Call("anyone", 201, account),
    "POST /auth/login": Call("anyone", 200, credentials),
    "POST /auth/token": Call("anyone", 200, form=form),
    "POST /auth/refresh": Call("anyone", 200, lambda scene: {"refresh_token": scene.refresh_token}),
    "POST /auth/logout": Call("anyone", 204, lambda scene: {"refresh_token": scene.refresh_token}),
    "GET /users/me": Call("user", 200),
    "GET /users/me/sessions": Call("user", 200),
    # Those of others are nobody's to know of, whoever asks.
    "DELETE /users/me/sessions/{session_id}": Call("its user", 204, session="sign_in_id"),
    "GET /users/me/api-keys": Call("user", 200),
    "POST /users/me/api-keys": Call("user", 201, lambda _: {"name": "New", "scopes": ["read"]}),
    "DELETE /users/me/api-keys/{key_id}": Call("its user", 204),
    "PATCH /users/me": Call("user", 200, renamed("full_name")),
    "GET /users/me/events": Call("user", 200),
    "GET /users/me/speakers": Call("user", 200),
    "GET /users": Call("admin", 200),
    "PATCH /users/{user_id}": Call("admin", 200, lambda _: {"role": "ORGANIZER"}),
    "GET /events": Call("anyone", 200),
    "POST /events": Call("user", 201, new_event),
    "GET /events/{event_id}": Call("all", 200),
    "PATCH /events/{event_id}": Call("manager", 200, renamed("name")),
    "DELETE /events/{event_id}": Call("owner", 204),
    "GET /events/{event_id}/audit": Call("manager", 200),
    "GET /audit": Call("admin", 200),
    "GET /events/{event_id}/team": Call("staff", 200),
    "POST /events/{event_id}/team": Call("owner", 201, new_member),
    "DELETE /events/{event_id}/team/{user_id}": Call("owner", 204),
    "GET /events/{event_id}/registrations": Call("staff", 200),
    "GET /events/{event_id}/registrations.csv": Call("staff", 200),
    "GET /sessions": Call("all", 200, query=OF_EVENT),
    "POST /sessions": Call("manager", 201, new_session),
    "POST /sessions/moves": Call("manager", 200, new_plan),
    "GET /sessions/{session_id}": Call("all", 200),
    "PATCH /sessions/{session_id}": Call("manager", 200, renamed("title")),
    "DELETE /sessions/{session_id}": Call("manager", 204),
    "GET /speakers": Call("all", 200, query=OF_EVENT),
    "POST /speakers": Call("manager", 201, new_speaker),
    "GET /speakers/{speaker_id}": Call("all", 200),
    # The owner made the speaker: nobody else of the event may touch the entry.
    "PATCH /speakers/{speaker_id}": Call("owner", 200, renamed("full_name")),
    "DELETE /speakers/{speaker_id}": Call("owner", 204),
    "GET /rooms": Call("all", 200, query=OF_EVENT),
    "POST /rooms": Call("manager", 201, new_room),
    "PATCH /rooms/{room_id}": Call("manager", 200, renamed("name")),
    "DELETE /rooms/{room_id}": Call("manager", 204),
    "POST /registrations/events/{event_id}": Call("user, if open", 201),
    "DELETE /registrations/events/{event_id}": Call("user", 204, event="attended_event_id"),
    "POST /registrations/sessions/{session_id}": Call("user, if open", 201, session="free_session_id"),
    "DELETE /registrations/sessions/{session_id}": Call("user", 204, session="taken_session_id"),
    "GET /registrations/me": Call("user", 200),
    "GET /registrations/me/agenda": Call("user", 200),
    "GET /registrations/{registration_id}": Call("its user or staff", 200),
    "GET /registrations/{registration_id}/ticket.svg": Call("its user or staff", 200),
    "GET /events/{event_id}/check-ins": Call("staff", 200),
    "POST /events/{event_id}/check-ins": Call("staff", 201, lambda s: {"ticket_code": s.ticket_code}),
    "POST /events/{event_id}/check-ins/batch": Call("staff", 200, lambda s: {"scans": [scan(s.ticket_code)]}),
    "GET /events/{event_id}/calendar.ics": Call("all", 200),
    "GET /events/{event_id}/schedule.json": Call("all", 200),
    "GET /events/{event_id}/schedule.xml": Call("all", 200),
    "POST /events/{event_id}/schedule": Call("manager", 200, new_schedule),
    "POST /users/me/calendar": Call("user", 201),
    # Whoever has the address may read it.
    "GET /calendars/{token}.ics": Call("anyone", 200),
    "GET /registrations/events": Call("user", 200),
    "GET /sessions/events/{event_id}": Call("all", 200),
    "POST /sessions/events/{event_id}": Call("manager", 201, new_session),
}


def stage(status: EventStatus, client: TestClient, signed_in: SignedIn, make: Factory) -> Scene:
    """Make an event of a status, with everything and everybody that belongs to it."""
    owner = make.user()
    event = make.event(owner, status=status)
    users = {
        "stranger": make.user(),
        "staff": make.member(event, TeamRole.STAFF),
        "manager": make.member(event, TeamRole.MANAGER),
        "owner": owner,
        "admin": make.admin(),
    }
    attended = make.event(owner, status=status)
    make.member(attended, TeamRole.STAFF, users["staff"])
    make.member(attended, TeamRole.MANAGER, users["manager"])
    free, taken = make.session(attended), make.session(attended, **at(attended, 1))
    for user in users.values():
        make.registration(attended, user)
        make.seat(taken, user)
    somebody = make.member(event, TeamRole.STAFF)
    newcomer = f"new-to-{status.lower()}@example.net"
    make.user(email=newcomer.replace("new", "known"))
    callers = {name: signed_in(user) for name, user in users.items()}
    registration = make.registration(event)
    refresh_token = RefreshToken.new()
    return Scene(
        event_id=event.id,
        attended_event_id=attended.id,
        session_id=make.session(event).id,
        free_session_id=free.id,
        taken_session_id=taken.id,
        speaker_id=make.speaker(owner, event).id,
        room_id=make.room(event).id,
        registration_id=registration.id,
        ticket_code=registration.ticket_code,
        token=make.calendar(owner),
        refresh_token=str(refresh_token),
        sign_in_id=make.sign_in(owner, refresh_token).id,
        key_id=make.api_key(owner)[1].id,
        user_id=somebody.id,
        email=owner.email,
        newcomer=newcomer,
        times=sent(at(event, 2)),
        callers={"anonymous": Caller(client), **callers},
        keys={
            **{scope: Caller(client, make.api_key(users["admin"], scope)[0]) for scope in Scope},
            "made up": Caller(client, ApiKeys.new(users["admin"].id)),
        },
    )


@pytest.fixture(params=[EventStatus.PUBLISHED, EventStatus.DRAFT])
def scene(
    request: pytest.FixtureRequest, running_app: TestClient, signed_in: SignedIn, make: Factory
) -> tuple[EventStatus, Scene]:
    return request.param, stage(request.param, running_app, signed_in, make)


@pytest.mark.parametrize("route", ROUTES)
def test_each_route_serves_whom_it_should_and_nobody_else(
    scene: tuple[EventStatus, Scene], connection: Connection, route: str
) -> None:
    status, there = scene
    seen = {name: answer.status_code for name, answer in asked(route, there, there.callers, connection)}
    assert seen == answers(ROUTES[route], status)


def asked(
    route: str, there: Scene, callers: dict[str, Caller], connection: Connection
) -> Iterator[tuple[str, Any]]:
    """Let each of ``callers`` call a route as if no other had, and yield what each is answered."""
    call = ROUTES[route]
    method, path = route.split(" ")
    ids = {"event_id": getattr(there, call.event), "session_id": getattr(there, call.session)}
    names = {**vars(there), **ids}
    options = {"json": call.body and call.body(there), "data": call.form and call.form(there)}
    for name, caller in callers.items():
        before = connection.begin_nested()
        yield name, caller.request(method, (path + call.query).format(**names), **options)
        before.rollback()


def test_the_matrix_in_the_docs_says_the_same() -> None:
    page = SECURITY.read_text(encoding="utf-8")
    assert page == with_matrix(page), f"renew it with: python -m {__name__}\n{matrix()}"


# What reads no token reads no key.
WITHOUT_TOKEN = {route for route, call in ROUTES.items() if call.access == "anyone"} - {"GET /events"}
FOR_PEOPLE = {
    "PATCH /users/me",
    "PATCH /users/{user_id}",
    "GET /users/me/sessions",
    "DELETE /users/me/sessions/{session_id}",
    "GET /users/me/api-keys",
    "POST /users/me/api-keys",
    "DELETE /users/me/api-keys/{key_id}",
    "POST /users/me/calendar",
}
AT_THE_DOOR = {
    "GET /events/{event_id}/check-ins",
    "POST /events/{event_id}/check-ins",
    "POST /events/{event_id}/check-ins/batch",
}


@pytest.mark.parametrize("route", ROUTES)
def test_each_route_is_open_to_keys_with_the_scope_and_to_no_other(
    scene: tuple[EventStatus, Scene], connection: Connection, route: str
) -> None:
    _, there = scene
    ((_, allowed),) = asked(route, there, {"admin": there.callers["admin"]}, connection)
    served = f"{allowed.status_code}"
    needed = {"read"} if route.startswith("GET ") else {"write"}
    if route in AT_THE_DOOR:
        needed.add("check-in")
    if route in WITHOUT_TOKEN:
        expected = dict.fromkeys(there.keys, served)
    elif route in FOR_PEOPLE:
        expected = dict.fromkeys(there.keys, "403 not-for-keys")
    else:
        lacking = f"403 missing-scope {sorted(needed)}"
        expected = {scope: served if scope in needed else lacking for scope in Scope}
        expected["made up"] = "401 unauthorized"
    seen = {}
    for name, answer in asked(route, there, there.keys, connection):
        refused = answer.status_code in {401, 403}
        document = answer.json() if refused else {}
        said = [str(answer.status_code), document.get("type", "").removeprefix("/problems/")]
        seen[name] = " ".join(filter(None, [*said, str(document["scopes"]) if "scopes" in document else ""]))
    assert seen == expected


def test_every_route_is_in_the_table(app: FastAPI) -> None:
    routes = {
        f"{method.upper()} {path.removeprefix(PREFIX)}"
        for path, operations in app.openapi()["paths"].items()
        for method in operations
    }
    assert routes == set(ROUTES)


# The matrix in the docs, which `python -m app.tests.routers.test_access` writes anew

SECURITY = PROJECT / "docs" / "security.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of the matrix -->\n"


def matrix() -> str:
    """Return who gets which answer from which route, as a table in Markdown."""
    rows = [("Route", *CALLERS), ("---",) * (len(CALLERS) + 1)]
    for route, call in ROUTES.items():
        on_public, on_draft = answers(call, EventStatus.PUBLISHED), answers(call, EventStatus.DRAFT)
        rows.append((f"`{route}`", *(told(on_public[name], on_draft[name]) for name in CALLERS)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def told(on_public: int, on_draft: int) -> str:
    return f"{on_public}" if on_public == on_draft else f"{on_public}, draft {on_draft}"


def with_matrix(page: str) -> str:
    """Return ``page`` with the matrix as it is now."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{matrix()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    SECURITY.write_text(with_matrix(SECURITY.read_text(encoding="utf-8")), encoding="utf-8")
