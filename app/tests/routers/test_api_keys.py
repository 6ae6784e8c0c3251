"""Keys with which scripts call: what they open, and how they end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from app import crud, services
from app.core.database import Database, Store
from app.core.security import ApiKeys, digest_of
from app.models import ApiKey, Event, User
from app.models.enums import TeamRole
from app.schemas.registrations import Application, RegistrationMade
from app.tests.conftest import Caller
from app.tests.factories import PASSWORD, Factory, claims_of
from app.tests.routers.conftest import SignedIn, ids, refused, z

DAY = timedelta(days=1)

WithKey = Callable[[str], Caller]
LastUsed = Callable[[ApiKey], datetime | None]


@pytest.fixture
def me(make: Factory) -> User:
    return make.user(email="ana@example.com")


@pytest.fixture
def mine(me: User, signed_in: SignedIn) -> Caller:
    return signed_in(me)


@pytest.fixture
def with_key(running_app: TestClient, connection: Connection) -> WithKey:
    return lambda key: Caller(running_app, key)


def new_key(caller: Caller, **fields: Any) -> Any:
    return caller.post("/users/me/api-keys", json={"name": "Nightly", "scopes": ["read"], **fields})


# Making them


def test_a_new_key_is_shown_once_and_opens_the_account(me: User, mine: Caller, with_key: WithKey) -> None:
    made = new_key(mine, scopes=["write", "read", "read"])
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()["key"]
    shown = {
        "id": made.json()["id"],
        "name": "Nightly",
        "prefix": key[: len(f"mek_{me.id}_") + 6],
        "scopes": ["read", "write"],
        "created_at": made.json()["created_at"],
        "expires_at": None,
        "last_used_at": None,
    }
    assert made.json() == {**shown, "key": key}
    assert key.startswith(f"mek_{me.id}_")
    page = mine.get("/users/me/api-keys")
    assert (page.json()["items"], page.headers["cache-control"]) == ([shown], "no-store")
    assert with_key(key).get("/users/me").json()["id"] == me.id


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": None}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["admin"]}, "/scopes/0"),
        ({"scopes": "read"}, "/scopes"),
        ({"expires_at": "2031-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"user_id": 1}, "/user_id"),
        ({"key": "mek_1_" + "a" * 43}, "/key"),
    ],
    ids=str,
)
def test_a_key_that_cannot_be_is_refused_where_it_is_wrong(
    mine: Caller, fields: dict[str, Any], pointer: str
) -> None:
    answer = new_key(mine, **fields)
    assert refused(answer) == (422, "invalid-request")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert mine.get("/users/me/api-keys").json()["total"] == 0


def test_the_same_idempotency_key_makes_two_api_keys(mine: Caller, db: Database) -> None:
    body, headers = {"name": "Nightly", "scopes": ["read"]}, {"Idempotency-Key": "k"}
    made = [mine.post("/users/me/api-keys", json=body, headers=headers).json() for _ in range(2)]
    assert made[0]["key"] != made[1]["key"]
    assert db.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


def test_of_a_key_the_database_has_a_digest_and_its_beginning(mine: Caller, connection: Connection) -> None:
    made = new_key(mine).json()
    tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    rows = [
        row for table in tables for row in connection.scalars(text(f'SELECT t::text FROM "{table}" AS t'))
    ]
    assert any(digest_of(made["key"]).hex() in row for row in rows)
    assert any(made["prefix"] in row for row in rows)
    secret = made["key"].removeprefix(made["prefix"])
    assert [row for row in rows if secret in row or secret.encode().hex() in row] == []


def test_my_keys_are_listed_newest_first_without_those_of_others_and_of_yesterday(
    me: User, mine: Caller, make: Factory
) -> None:
    made = [make.api_key(me)[1].id for _ in range(3)]
    make.api_key(make.user())
    now = datetime.now(UTC)
    make.api_key(me, created_at=now - 2 * DAY, expires_at=now - DAY)
    assert ids(mine.get("/users/me/api-keys")) == made[::-1]
    assert ids(mine.get("/users/me/api-keys", params={"page": 2, "size": 2})) == made[:1]


@pytest.mark.parametrize("keys", [1, 3])
def test_the_list_costs_the_same_however_many_there_are(
    me: User, mine: Caller, make: Factory, statements: list[str], keys: int
) -> None:
    for _ in range(keys):
        make.api_key(me)
    statements.clear()
    assert len(ids(mine.get("/users/me/api-keys"))) == keys
    assert len(statements) == 3


# What they open


def test_a_key_costs_a_request_no_statement_more_than_a_token(
    me: User, mine: Caller, make: Factory, with_key: WithKey, statements: list[str]
) -> None:
    scripted = with_key(make.api_key(me)[0])
    for path in ("/users/me", "/events", "/registrations/me", "/users/me/events"):
        counts = []
        for caller in (mine, scripted):
            statements.clear()
            assert caller.get(path).status_code == 200
            counts.append(len(statements))
        assert counts[0] == counts[1], path


def test_a_key_for_the_door_checks_people_in_and_does_nothing_else(make: Factory, with_key: WithKey) -> None:
    event = make.event()
    staff = make.member(event, TeamRole.STAFF)
    ticket = make.registration(event).ticket_code
    door = with_key(make.api_key(staff, "check-in")[0])
    scanned = door.post(f"/events/{event.id}/check-ins", json={"ticket_code": ticket})
    assert (scanned.status_code, scanned.json()["first"]) == (201, True)
    batch = {"scans": [{"ticket_code": ticket, "scanned_at": z(event.start_at), "client_id": "1"}]}
    assert door.post(f"/events/{event.id}/check-ins/batch", json=batch).status_code == 200
    assert door.get(f"/events/{event.id}/check-ins").json()["total"] == 2
    assert refused(door.get(f"/events/{event.id}/registrations")) == (403, "missing-scope")
    assert refused(door.post(f"/registrations/events/{event.id}")) == (403, "missing-scope")


def test_the_refusal_names_the_scopes_that_would_do(me: User, make: Factory, with_key: WithKey) -> None:
    event = make.event(me)
    reader, writer = (with_key(make.api_key(me, scope)[0]) for scope in ("read", "write"))
    answer = reader.patch(f"/events/{event.id}", json={"name": "New"}).json()
    assert (answer["detail"], answer["scopes"]) == (
        "This API key lacks the scope 'write'. Make one that has it.",
        ["write"],
    )
    assert writer.get("/users/me").json()["scopes"] == ["read"]
    answer = reader.post(f"/events/{event.id}/check-ins", json={"ticket_code": "x"}).json()
    assert answer["scopes"] == ["check-in", "write"]


def test_head_is_for_readers_as_get_is(me: User, make: Factory, with_key: WithKey) -> None:
    reader, writer = (with_key(make.api_key(me, scope)[0]) for scope in ("read", "write"))
    assert [caller.request("HEAD", "/users/me").status_code for caller in (reader, writer)] == [200, 403]


def test_a_key_may_do_no_more_than_its_account(make: Factory, with_key: WithKey) -> None:
    stranger, event = make.user(), make.event()
    scripted = with_key(make.api_key(stranger)[0])
    assert refused(scripted.patch(f"/events/{event.id}", json={"name": "Mine"})) == (403, "forbidden")
    assert refused(scripted.get("/users")) == (403, "forbidden")


def test_no_key_tries_out_a_password(me: User, make: Factory, with_key: WithKey) -> None:
    """Else a made-up key could, for whatever account it names."""
    change = {"password": "another horse, another battery", "current_password": PASSWORD}
    for key in (make.api_key(me)[0], ApiKeys.new(me.id)):
        assert refused(with_key(key).patch("/users/me", json=change)) == (403, "not-for-keys")


@pytest.mark.parametrize(
    "change",
    [
        lambda key, _: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key, other: key.replace(key.split("_")[1], str(other), 1),
        lambda key, _: key.upper(),
        lambda key, _: key + "x",
        lambda _, other: ApiKeys.new(other),
    ],
    ids=["another end", "another account", "capitals", "longer", "made up"],
)
def test_what_is_nearly_a_key_opens_nothing(
    me: User, make: Factory, with_key: WithKey, change: Callable[[str, int], str]
) -> None:
    event, other = make.event(), make.user()
    caller = with_key(change(make.api_key(me)[0], other.id))
    answers = [
        caller.get("/users/me"),
        caller.get("/events"),
        caller.get("/registrations/me"),
        caller.post(f"/registrations/events/{event.id}"),
        caller.post(f"/events/{event.id}/schedule", json={"schedule": {"conference": {"days": []}}}),
    ]
    assert [refused(answer) for answer in answers] == [(401, "unauthorized")] * len(answers)


# In a batch


def applications(make: Factory, event: Event, count: int) -> list[Application]:
    """Make as many who come with a key as with a token."""
    made = []
    for number in range(count):
        user = make.user()
        key = ApiKeys.read(make.api_key(user)[0], frozenset({"write"}))
        assert key is not None
        made.append(Application(key if number % 2 else claims_of(user), event.id))
    return made


def test_keys_cost_a_batch_no_statement_more(db: Database, make: Factory, statements: list[str]) -> None:
    counts = []
    for size in (1, 10, 200):
        batch = applications(make, make.event(capacity_total=200), size)
        statements.clear()
        made = services.registrations.admit(db, batch)
        counts.append(len(statements))
        assert [type(outcome) for outcome in made] == [RegistrationMade] * size
        assert [outcome.user_id for outcome in made if isinstance(outcome, RegistrationMade)] == [
            application.claims.uid for application in batch
        ]
    assert counts == [5, 5, 5]


@pytest.mark.parametrize("door", ["events", "sessions"])
def test_a_batch_takes_a_key_with_the_scope_and_refuses_the_others(
    me: User, make: Factory, with_key: WithKey, door: str
) -> None:
    event = make.event()
    make.registration(event, me) if door == "sessions" else None
    wanted = event.id if door == "events" else make.session(event).id
    path = f"/registrations/{door}/{wanted}"
    for scopes in (["read"], ["check-in"], ["read", "check-in"]):
        answer = with_key(make.api_key(me, *scopes)[0]).post(path)
        assert (refused(answer), answer.json()["scopes"]) == ((403, "missing-scope"), ["write"])
    assert with_key(make.api_key(me, "write")[0]).post(path).status_code == 201


# How they end


def test_an_ended_key_opens_nothing_from_then_on(
    me: User, mine: Caller, make: Factory, with_key: WithKey
) -> None:
    key, row = make.api_key(me)
    kept, path = make.api_key(me)[0], f"/users/me/api-keys/{row.id}"
    assert mine.delete(path).status_code == 204
    assert refused(with_key(key).get("/users/me")) == (401, "unauthorized")
    assert refused(with_key(key).post(f"/registrations/events/{make.event().id}")) == (401, "unauthorized")
    assert with_key(kept).get("/users/me").status_code == 200
    assert refused(mine.delete(path)) == (404, "not-found")


def test_nobody_ends_the_key_of_another(mine: Caller, make: Factory, with_key: WithKey) -> None:
    key, row = make.api_key(make.user())
    assert refused(mine.delete(f"/users/me/api-keys/{row.id}")) == (404, "not-found")
    assert with_key(key).get("/users/me").status_code == 200


def test_a_key_ends_when_it_was_said_to(me: User, mine: Caller, make: Factory, with_key: WithKey) -> None:
    now = datetime.now(UTC)
    good = new_key(mine, expires_at=z(now + DAY)).json()
    assert good["expires_at"] == z(now + DAY)
    past = make.api_key(me, created_at=now - 2 * DAY, expires_at=now - DAY)[0]
    event = make.event()
    assert with_key(good["key"]).get("/users/me").status_code == 200
    for answer in (with_key(past).get("/users/me"), with_key(past).post(f"/registrations/events/{event.id}")):
        assert refused(answer) == (401, "unauthorized")


def test_a_key_outlives_a_new_password_and_a_new_role(
    me: User, mine: Caller, make: Factory, with_key: WithKey, signed_in: SignedIn
) -> None:
    scripted, admin = with_key(make.api_key(me)[0]), signed_in(make.admin())
    change = {"password": "another horse, another battery", "current_password": PASSWORD}
    assert mine.patch("/users/me", json=change).status_code == 200
    assert scripted.get("/users/me").status_code == 200
    assert admin.patch(f"/users/{me.id}", json={"role": "ADMIN"}).status_code == 200
    assert scripted.get("/users").status_code == 200
    assert admin.patch(f"/users/{me.id}", json={"role": "ATTENDEE"}).status_code == 200
    assert refused(scripted.get("/users")) == (403, "forbidden")


def test_the_keys_of_an_account_end_for_good_when_it_is_switched_off(
    me: User, make: Factory, with_key: WithKey, signed_in: SignedIn
) -> None:
    scripted, admin = with_key(make.api_key(me)[0]), signed_in(make.admin())
    door = f"/registrations/events/{make.event().id}"
    for is_active in (False, True):
        assert admin.patch(f"/users/{me.id}", json={"is_active": is_active}).status_code == 200
        assert refused(scripted.get("/users/me")) == (401, "unauthorized")
        assert refused(scripted.post(door)) == (401, "unauthorized")


def test_a_key_opens_nothing_while_its_account_is_off_whoever_switched_it(
    me: User, make: Factory, with_key: WithKey, connection: Connection
) -> None:
    scripted, door = with_key(make.api_key(me)[0]), f"/registrations/events/{make.event().id}"
    connection.execute(text("UPDATE users SET is_active = false WHERE id = :id"), {"id": me.id})
    assert refused(scripted.get("/users/me")) == (401, "unauthorized")
    assert refused(scripted.post(door)) == (401, "unauthorized")


# When they were last used


@pytest.fixture
def last_used(app: FastAPI, db: Database) -> LastUsed:
    """Let the chore come round, and look."""

    def write_and_look(row: ApiKey) -> datetime | None:
        services.api_keys.write_uses(db, app.state.key_uses)
        db.commit()
        db.refresh(row)
        return row.last_used_at

    return write_and_look


@pytest.mark.parametrize("way", ["own", "list", "see", "thread", "batch", "refused", "full"])
def test_the_last_use_of_a_key_is_noted_whatever_it_does(
    me: User, make: Factory, with_key: WithKey, last_used: LastUsed, way: str
) -> None:
    event = make.event()
    full = make.event(capacity_total=1)
    make.registration(full)
    key, row = make.api_key(me)
    calls: dict[str, tuple[str, str, int]] = {
        "own": ("GET", "/users/me", 200),
        "list": ("GET", "/events", 200),
        "see": ("GET", f"/events/{event.id}", 200),
        "thread": ("GET", "/registrations/me", 200),
        "batch": ("POST", f"/registrations/events/{event.id}", 201),
        "refused": ("GET", "/registrations/2147483647", 404),
        "full": ("POST", f"/registrations/events/{full.id}", 409),
    }
    method, path, status = calls[way]
    before = datetime.now(UTC)
    assert last_used(row) is None
    assert with_key(key).request(method, path).status_code == status
    used = last_used(row)
    assert used is not None
    assert before <= used <= datetime.now(UTC)
    assert last_used(row) == used


def test_no_request_writes_the_last_use_itself(
    me: User, make: Factory, with_key: WithKey, statements: list[str]
) -> None:
    scripted = with_key(make.api_key(me)[0])
    statements.clear()
    for path in ("/users/me", "/events", "/registrations/me"):
        assert scripted.get(path).status_code == 200
    assert [statement for statement in statements if not statement.startswith("SELECT")] == []


def test_a_key_that_was_refused_was_not_used(
    app: FastAPI, me: User, make: Factory, with_key: WithKey, last_used: LastUsed
) -> None:
    key, row = make.api_key(me, "read")
    door = f"/registrations/events/{make.event().id}"
    assert last_used(row) is None
    assert refused(with_key(key).post(door)) == (403, "missing-scope")
    assert refused(with_key(ApiKeys.new(me.id)).get("/users/me")) == (401, "unauthorized")
    assert app.state.key_uses.take() == {}
    assert last_used(row) is None


def test_an_earlier_use_that_is_written_late_is_not_the_last(db: Database, me: User, make: Factory) -> None:
    now = datetime.now(UTC)
    key, row = make.api_key(me, last_used_at=now)
    crud.api_keys.mark_used(db, {digest_of(key): now - DAY, b"of no key": now})
    db.refresh(row)
    assert row.last_used_at == now


def test_keys_are_forgotten_once_they_have_expired(live: Store) -> None:
    now = datetime.now(UTC)
    with live.job() as db:
        make = Factory(db)
        user = make.user()
        kept = [make.api_key(user)[1].id, make.api_key(user, expires_at=now + DAY)[1].id]
        gone = make.api_key(user, created_at=now - 2 * DAY, expires_at=now - DAY)[1].id
    asyncio.run(live.chore(partial(crud.api_keys.delete_expired, limit=10)))
    with live.job() as db:
        assert [db.get(ApiKey, key) is not None for key in (*kept, gone)] == [True, True, False]
