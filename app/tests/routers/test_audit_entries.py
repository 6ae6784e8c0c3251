"""The log of changes over HTTP: what each route leaves there, and who reads it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, text

from app.core.security import RefreshToken
from app.models import Event, User
from app.models.enums import EventStatus, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import HOUR, PASSWORD, Factory
from app.tests.routers.conftest import SignedIn, at, refused, sent, z

Body = Callable[["Scene"], Any]
Log = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Scene:
    """An event with all that belongs to it, as ids."""

    event: Event
    event_id: int
    admin_id: int
    other_event_id: int
    session_id: int
    parallel_id: int
    free_session_id: int
    speaker_id: int
    other_speaker_id: int
    room_id: int
    member_id: int
    newcomer: User
    user_id: int
    ticket_code: str
    other_code: str
    refresh_token: str
    sign_in_id: int
    key_id: int


@pytest.fixture
def admin(make: Factory) -> User:
    return make.admin()


@pytest.fixture
def scene(make: Factory, admin: User) -> Scene:
    """Make an event whose owner, an administrator, may do all of it and is registered there."""
    event = make.event(admin)
    make.registration(event, admin)
    room = make.room(event)
    speaker, other = make.speaker(admin, event), make.speaker(admin, event)
    newcomer, refresh_token = make.user(), RefreshToken.new()
    taken = make.session(event, **at(event, 5))
    make.seat(taken, admin)
    return Scene(
        event=event,
        event_id=event.id,
        admin_id=admin.id,
        other_event_id=make.event().id,
        session_id=make.session(event, room=room, speakers=(speaker,)).id,
        parallel_id=taken.id,
        free_session_id=make.session(event, **at(event, 8)).id,
        speaker_id=speaker.id,
        other_speaker_id=other.id,
        room_id=make.room(event).id,
        member_id=make.member(event, TeamRole.STAFF).id,
        newcomer=newcomer,
        user_id=newcomer.id,
        ticket_code=make.registration(event).ticket_code,
        other_code=make.registration(event).ticket_code,
        refresh_token=str(refresh_token),
        sign_in_id=make.sign_in(admin, refresh_token).id,
        key_id=make.api_key(admin)[1].id,
    )


@pytest.fixture
def me(signed_in: SignedIn, admin: User) -> Caller:
    return signed_in(admin)


@pytest.fixture
def callers(anonymous: Caller, signed_in: SignedIn, make: Factory) -> list[Caller]:
    return [anonymous, signed_in(make.user())]


@pytest.fixture
def log(connection: Connection) -> Log:
    """Return what the log has of each entry since the last time, in the order in which it was written."""
    seen = 0

    def read(*columns: str) -> list[tuple[Any, ...]]:
        nonlocal seen
        query = f"SELECT id, {', '.join(columns or ('action', 'entity'))} FROM audit_entries WHERE id > :seen"
        rows = connection.execute(text(f"{query} ORDER BY id"), {"seen": seen}).all()
        seen = rows[-1][0] if rows else seen
        return [tuple(row)[1:] for row in rows]

    return read


@dataclass(frozen=True)
class Write:
    """A request that writes, and the entries that it leaves."""

    body: Body | None = None
    left: tuple[tuple[str, str], ...] = ()
    query: str = ""
    form: Body | None = None


def scan(code: str, name: str) -> dict[str, str]:
    return {"ticket_code": code, "scanned_at": "2027-01-01T00:00:00Z", "client_id": name}


def session(scene: Scene, hour: float, **fields: Any) -> dict[str, Any]:
    return {"event_id": scene.event_id, "title": "New", **sent(at(scene.event, hour)), **fields}


def schedule(scene: Scene, hour: float) -> dict[str, Any]:
    talk = {
        "guid": "0b8f7d52-6a51-4c5e-9d0e-5a3f7c1e2b44",
        "title": "New",
        "date": z(at(scene.event, hour)["start_at"]),
        "duration": "01:00",
        "persons": [{"public_name": "Newcomer"}],
    }
    return {"schedule": {"conference": {"days": [{"rooms": {"Patio": [talk]}}]}}}


def created(entity: str) -> tuple[str, str]:
    return "create", entity


def changed(entity: str) -> tuple[str, str]:
    return "update", entity


def deleted(entity: str) -> tuple[str, str]:
    return "delete", entity


WRITES: dict[str, Write] = {
    "POST /events": Write(
        lambda s: {"name": "New", "capacity_total": 1, **sent(at(s.event, 0))}, (created("event"),)
    ),
    "PATCH /events/{event_id}": Write(lambda _: {"name": "Renamed"}, (changed("event"),)),
    # It is widened first, and what moves inside it is judged within both times.
    "PATCH /events/{event_id}?shift": Write(
        lambda s: {"start_at": z(s.event.start_at + HOUR)},
        (changed("event"), *(changed("session"),) * 3, changed("event")),
        query="shift_sessions=true",
    ),
    "PATCH /events/{event_id}?same": Write(lambda s: {"name": s.event.name}),
    "DELETE /events/{event_id}": Write(left=(deleted("event"),)),
    "POST /events/{event_id}/team": Write(
        lambda s: {"email": s.newcomer.email, "role": "MANAGER"}, (created("team_member"),)
    ),
    "DELETE /events/{event_id}/team/{member_id}": Write(left=(deleted("team_member"),)),
    "POST /sessions": Write(lambda s: session(s, 1), (created("session"),)),
    "POST /sessions?room": Write(
        lambda s: session(s, 1, room="New", speaker_ids=[s.speaker_id]),
        (created("room"), created("session"), changed("session")),
    ),
    "POST /sessions/events/{event_id}": Write(
        lambda s: {"title": "New", **sent(at(s.event, 1))}, (created("session"),)
    ),
    "PATCH /sessions/{session_id}": Write(lambda _: {"title": "Renamed"}, (changed("session"),)),
    "PATCH /sessions/{session_id}?speakers": Write(
        lambda s: {"speaker_ids": [s.other_speaker_id]}, (changed("session"),) * 2
    ),
    "DELETE /sessions/{session_id}": Write(left=(deleted("session"),)),
    "POST /sessions/moves": Write(
        lambda s: {
            "event_id": s.event_id,
            "moves": [
                {"session_id": s.session_id, **sent(at(s.event, 5))},
                {"session_id": s.parallel_id, **sent(at(s.event, 0))},
            ],
        },
        (changed("session"),) * 2,
    ),
    "POST /sessions/moves?dry": Write(
        lambda s: {"event_id": s.event_id, "moves": [{"session_id": s.session_id, **sent(at(s.event, 3))}]},
        query="dry_run=true",
    ),
    "POST /speakers": Write(lambda _: {"full_name": "New"}, (created("speaker"),)),
    "POST /speakers?event": Write(
        lambda s: {"full_name": "New", "event_id": s.event_id}, (created("speaker"), changed("speaker"))
    ),
    "PATCH /speakers/{speaker_id}": Write(lambda _: {"full_name": "Renamed"}, (changed("speaker"),)),
    "DELETE /speakers/{other_speaker_id}": Write(left=(deleted("speaker"), changed("speaker"))),
    "POST /rooms": Write(lambda s: {"event_id": s.event_id, "name": "New"}, (created("room"),)),
    "PATCH /rooms/{room_id}": Write(lambda _: {"name": "Renamed", "capacity": 9}, (changed("room"),)),
    "DELETE /rooms/{room_id}": Write(left=(deleted("room"),)),
    "POST /events/{event_id}/check-ins": Write(
        lambda s: {"ticket_code": s.ticket_code}, (created("check_in"),)
    ),
    "POST /events/{event_id}/check-ins/batch": Write(
        lambda s: {"scans": [scan(s.ticket_code, "a"), scan(s.other_code, "b"), scan(s.ticket_code, "c")]},
        (created("check_in"),) * 2,
    ),
    "POST /events/{event_id}/schedule": Write(
        lambda s: schedule(s, 10),
        (created("room"), created("speaker"), created("session"), changed("session")),
    ),
    "POST /events/{event_id}/schedule?dry": Write(lambda s: schedule(s, 10), query="dry_run=true"),
    "PATCH /users/{user_id}": Write(lambda _: {"role": "ORGANIZER"}, (changed("user"),)),
    "PATCH /users/{user_id}?off": Write(lambda _: {"is_active": False}, (changed("user"),)),
    # What is nobody's but one's own, and what the registrations themselves tell.
    "PATCH /users/me": Write(
        lambda _: {"full_name": "Renamed", "password": "another horse battery", "current_password": PASSWORD}
    ),
    "POST /users/me/calendar": Write(),
    "POST /auth/register": Write(lambda _: {"email": "new@example.net", "password": PASSWORD}),
    "POST /auth/login": Write(lambda s: {"email": s.newcomer.email, "password": PASSWORD}),
    "POST /auth/token": Write(form=lambda s: {"username": s.newcomer.email, "password": PASSWORD}),
    "POST /auth/refresh": Write(lambda s: {"refresh_token": s.refresh_token}),
    "POST /auth/logout": Write(lambda s: {"refresh_token": s.refresh_token}),
    "DELETE /users/me/sessions/{sign_in_id}": Write(),
    "POST /users/me/api-keys": Write(lambda _: {"name": "Doors", "scopes": ["check-in"]}),
    "DELETE /users/me/api-keys/{key_id}": Write(),
    "POST /registrations/events/{other_event_id}": Write(),
    "DELETE /registrations/events/{event_id}": Write(),
    "POST /registrations/sessions/{free_session_id}": Write(),
    "DELETE /registrations/sessions/{parallel_id}": Write(),
}


def request(caller: Caller, scene: Scene, route: str, **options: Any) -> Any:
    """Do what the table says of a route."""
    write = WRITES[route]
    method, path = route.partition("?")[0].format(**vars(scene)).split(" ")
    body = {"json": write.body and write.body(scene), "data": write.form and write.form(scene)}
    return caller.request(method, path, params=write.query, **body, **options)


@pytest.mark.parametrize("route", WRITES)
def test_each_route_leaves_what_it_should_and_nothing_else(
    me: Caller, scene: Scene, admin: User, log: Log, route: str
) -> None:
    log()
    response = request(me, scene, route, headers={"X-Request-ID": "the-one"})
    assert response.is_success, response.text
    signed = log("action", "entity", "actor_id", "ip", "request_id")
    assert signed == [(*entry, admin.id, "testclient", "the-one") for entry in WRITES[route].left]


def test_every_route_that_writes_is_in_the_table(app: FastAPI) -> None:
    def shape(route: str) -> str:
        return re.sub(r"{\w+}", "{}", route.partition("?")[0])

    routes = {
        f"{method.upper()} {path.removeprefix(PREFIX)}"
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if method != "get"
    }
    assert {shape(route) for route in routes} == {shape(route) for route in WRITES}


# Anybody may do these, and then it is theirs.
ANYBODYS = ("POST /events", "POST /speakers")


@pytest.mark.parametrize("route", [route for route in WRITES if WRITES[route].left and route not in ANYBODYS])
def test_whoever_may_not_leaves_nothing(callers: list[Caller], scene: Scene, log: Log, route: str) -> None:
    log()
    answers = [request(caller, scene, route).status_code for caller in callers]
    assert answers in ([401, 403], [401, 404])
    assert log() == []


@pytest.mark.parametrize(
    ("route", "body", "answer"),
    [
        ("PATCH /events/{event_id}", {"capacity_total": 1}, (409, "capacity-below-confirmed")),
        ("PATCH /events/{event_id}", {"capacity_total": 0}, (422, "invalid-request")),
        ("PATCH /sessions/{session_id}", {"end_at": "2199-01-01T00:00:00Z"}, (409, "session-outside-event")),
        ("DELETE /speakers/{speaker_id}", None, (409, "speaker-has-sessions")),
        ("POST /events/{event_id}/check-ins", {"ticket_code": "x"}, (404, "unknown-ticket")),
        ("PATCH /users/{admin_id}", {"role": "ATTENDEE"}, (409, "last-admin")),
    ],
)
def test_what_is_refused_leaves_nothing(  # noqa: PLR0913, PLR0917 - three are of the table
    me: Caller, scene: Scene, log: Log, route: str, body: Any, answer: tuple[int, str]
) -> None:
    log()
    method, path = route.format(**vars(scene)).split(" ")
    assert refused(me.request(method, path, json=body)) == answer
    assert log() == []


def test_a_request_that_is_served_once_is_logged_once(me: Caller, scene: Scene, log: Log) -> None:
    log()
    for _ in range(2):
        assert request(me, scene, "POST /rooms", headers={"Idempotency-Key": "k"}).status_code == 201
    assert log() == [("create", "room")]


def test_a_thousand_check_ins_are_a_thousand_entries(
    me: Caller, make: Factory, log: Log, admin: User
) -> None:
    event = make.event(admin, capacity_total=1_000)
    make.db.execute(
        text("""
            WITH holders AS (
                INSERT INTO users (email, password_hash)
                SELECT 'holder' || number || '@example.com', '' FROM generate_series(1, 1000) AS number
                RETURNING id
            )
            INSERT INTO registrations (event_id, user_id, status, ticket_code)
            SELECT :id, id, 'CONFIRMED', 'ticket-' || row_number() OVER () FROM holders
        """),
        {"id": event.id},
    )
    make.db.commit()
    log()
    scans = {"scans": [scan(f"ticket-{number}", str(number)) for number in range(1, 1_001)]}
    path = f"/events/{event.id}/check-ins/batch"
    assert me.post(path, json=scans).status_code == 200
    assert log("action", "entity", "event_id") == [("create", "check_in", event.id)] * 1_000
    assert me.post(path, json=scans).status_code == 200
    assert log() == []


# Read


def listed(caller: Caller, path: str = "/audit", **wanted: Any) -> list[Any]:
    response = caller.get(path, params=wanted)
    assert response.status_code == 200, response.text
    items: list[Any] = response.json()["items"]
    return items


def did(items: list[Any]) -> list[tuple[str, str]]:
    return [(item["action"], item["entity"]) for item in items]


def test_an_entry_says_who_changed_what_when_from_where_old_and_new(
    signed_in: SignedIn, make: Factory
) -> None:
    owner = make.user(full_name="Ana")
    event = make.event(owner, name="Feria")
    manager = signed_in(make.member(event, TeamRole.MANAGER))
    began = datetime.now(UTC)
    me = signed_in(owner)
    assert me.patch(f"/events/{event.id}", json={"name": "Fiesta"}, headers={"X-Request-ID": "r"}).is_success
    page = manager.get(f"/events/{event.id}/audit").json()
    entry = page["items"][0]
    assert (page["total"], page["total_exact"], page["page"], page["size"]) == (3, True, 1, 10)
    assert entry == {
        "id": entry["id"],
        "at": entry["at"],
        "actor": {"id": owner.id, "email": owner.email, "full_name": "Ana"},
        "action": "update",
        "entity": "event",
        "entity_id": event.id,
        "before": {"name": "Feria"},
        "after": {"name": "Fiesta"},
        "ip": "testclient",
        "request_id": "r",
    }
    assert entry["at"].endswith("Z")
    # The test's transaction, whose time the database tells, began before this test took its own.
    assert began - HOUR < datetime.fromisoformat(entry["at"]) <= datetime.now(UTC)
    assert did(page["items"]) == [("update", "event"), ("create", "team_member"), ("create", "event")]


def test_who_changed_it_is_called_as_today(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user(full_name="Ana")
    event = make.event(owner)
    me = signed_in(owner)
    me.patch(f"/events/{event.id}", json={"name": "Fiesta"})
    me.patch("/users/me", json={"full_name": "Ana María"})
    actor = listed(me, f"/events/{event.id}/audit")[0]["actor"]
    assert actor == {"id": owner.id, "email": owner.email, "full_name": "Ana María"}


def test_what_no_request_wrote_is_nobodys(signed_in: SignedIn, make: Factory) -> None:
    event = make.event()
    make.db.execute(text("UPDATE events SET name = 'By hand'"))
    make.db.commit()
    for entry in listed(signed_in(make.admin()), f"/events/{event.id}/audit"):
        assert (entry["actor"], entry["ip"], entry["request_id"]) == (None, None, None)


def test_an_event_shows_its_own_changes_and_no_others(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event, other = make.event(owner), make.event(owner)
    room = make.room(event)
    make.room(other)
    me = signed_in(owner)
    session = me.post("/sessions", json={"event_id": event.id, "title": "Talk", **sent(at(event, 0))}).json()
    entries = [(entry["entity"], entry["entity_id"]) for entry in listed(me, f"/events/{event.id}/audit")]
    assert entries == [("session", session["id"]), ("room", room.id), ("event", event.id)]


def test_the_pages_go_from_the_newest_to_the_oldest(signed_in: SignedIn, make: Factory) -> None:
    event = make.event(make.user())
    me = signed_in(make.db.get_one(User, event.created_by))
    for number in range(4):
        me.patch(f"/events/{event.id}", json={"name": f"Name {number}"})
    path = f"/events/{event.id}/audit"
    names = [entry["after"]["name"] for page in (1, 2, 3) for entry in listed(me, path, page=page, size=2)]
    assert names == ["Name 3", "Name 2", "Name 1", "Name 0", "Event"]
    assert me.get(path, params={"page": 9}).json()["total"] == 5


def test_a_list_keeps_what_it_is_asked_for(signed_in: SignedIn, make: Factory) -> None:
    owner, manager, admin = make.user(), make.user(), make.admin()
    event = make.event(owner)
    make.member(event, TeamRole.MANAGER, manager)
    rooms = [
        signed_in(user).post("/rooms", json={"event_id": event.id, "name": name}).json()["id"]
        for user, name in ((owner, "One"), (manager, "Two"))
    ]
    signed_in(manager).patch(f"/rooms/{rooms[0]}", json={"name": "Three"})
    me = signed_in(admin)

    def found(**wanted: Any) -> list[tuple[str, int]]:
        """Ask both lists, which answer alike."""
        of_event = listed(me, f"/events/{event.id}/audit", **wanted)
        assert listed(me, event_id=event.id, **wanted) == of_event
        return [(entry["action"], entry["entity_id"]) for entry in of_event]

    assert found(entity="room") == [("update", rooms[0]), ("create", rooms[1]), ("create", rooms[0])]
    assert found(entity="room", entity_id=rooms[0]) == [("update", rooms[0]), ("create", rooms[0])]
    assert found(actor_id=manager.id) == [("update", rooms[0]), ("create", rooms[1])]
    assert found(action="update") == [("update", rooms[0])]
    assert found(entity="room", actor_id=owner.id, action="update") == []
    assert found(entity="team_member") == [("create", manager.id)]
    everything = found()
    times = [entry["at"] for entry in listed(me, f"/events/{event.id}/audit")]
    assert found(**{"from": times[-1]}) == everything
    assert found(to=times[-1]) == []
    assert found(**{"from": "2199-01-01T00:00:00Z"}) == []
    assert found(to="2199-01-01T00:00:00Z") == everything


def test_administrators_see_what_belongs_to_no_event(signed_in: SignedIn, make: Factory) -> None:
    admin, user = make.admin(), make.user()
    me = signed_in(admin)
    me.patch(f"/users/{user.id}", json={"role": "ORGANIZER"})
    me.post("/speakers", json={"full_name": "Ana"})
    speaker, role = listed(me, actor_id=admin.id)
    assert (role["entity"], role["entity_id"]) == ("user", user.id)
    assert (role["before"], role["after"]) == ({"role": "ATTENDEE"}, {"role": "ORGANIZER"})
    assert did([speaker]) == [("create", "speaker")]


@pytest.mark.parametrize("status", [EventStatus.PUBLISHED, EventStatus.DRAFT])
def test_of_a_deleted_event_the_log_stays_its_owners(
    signed_in: SignedIn, make: Factory, status: EventStatus
) -> None:
    owner = make.user()
    event = make.event(owner, status=status)
    path = f"/events/{event.id}/audit"
    manager, me = signed_in(make.member(event, TeamRole.MANAGER)), signed_in(owner)
    assert manager.get(path).status_code == 200
    assert me.delete(f"/events/{event.id}").status_code == 204
    for caller in (me, signed_in(make.admin())):
        newest = listed(caller, path)[0]
        assert (newest["action"], newest["before"]["name"], newest["after"]) == ("delete", "Event", None)
    for caller in (manager, signed_in(make.user())):
        assert refused(caller.get(path)) == (404, "not-found")


def test_there_is_no_log_of_an_event_that_never_was(signed_in: SignedIn, make: Factory) -> None:
    assert refused(signed_in(make.admin()).get("/events/2147483647/audit")) == (404, "not-found")


def test_a_ticket_is_in_no_entry_of_its_check_in(me: Caller, scene: Scene) -> None:
    assert request(me, scene, "POST /events/{event_id}/check-ins").status_code == 201
    answer = me.get(f"/events/{scene.event_id}/audit")
    assert did(answer.json()["items"][:1]) == [("create", "check_in")]
    assert scene.ticket_code not in answer.text


@pytest.mark.parametrize("path", ["/audit", "/events/{event_id}/audit"])
def test_a_list_takes_as_many_queries_for_one_as_for_three(
    signed_in: SignedIn, make: Factory, statements: list[str], path: str
) -> None:
    owner = make.admin()
    event = make.event(owner)
    me = signed_in(owner)
    editors = [signed_in(make.member(event, TeamRole.MANAGER)) for _ in range(3)]
    costs: list[tuple[int, int]] = []
    for editors_so_far in (editors[:1], editors):
        for number, editor in enumerate(editors_so_far):
            name = f"Name {len(costs)}.{number}"
            assert editor.patch(f"/events/{event.id}", json={"name": name}).status_code == 200
        statements.clear()
        found = listed(me, path.format(event_id=event.id), action="update")
        costs.append((len(found), len(statements)))
    assert costs == [(1, 3 + ("event" in path)), (4, 3 + ("event" in path))]


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"entity": "ticket"}, "query/entity"),
        ({"action": "drop"}, "query/action"),
        ({"entity_id": 0}, "query/entity_id"),
        ({"actor_id": 2_147_483_648}, "query/actor_id"),
        ({"from": "2031-01-01T00:00:00"}, "query/from"),
        ({"to": "yesterday"}, "query/to"),
    ],
)
def test_a_filter_that_cannot_be_is_named(
    signed_in: SignedIn, make: Factory, wanted: dict[str, Any], pointer: str
) -> None:
    me, event = signed_in(make.admin()), make.event()
    for path in ("/audit", f"/events/{event.id}/audit"):
        response = me.get(path, params=wanted)
        assert refused(response) == (422, "invalid-request")
        assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]
