"""Sessions that go on, and that can be ended."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from app import crud
from app.api import create_app
from app.core.database import Database, Store
from app.core.security import Device, RefreshToken
from app.core.settings import Settings
from app.models import SignIn, User
from app.tests.conftest import PREFIX, SECRET, Caller
from app.tests.factories import PASSWORD, SIGN_IN, Factory
from app.tests.routers.conftest import SignedIn, ids, refused

DAY = timedelta(days=1)
ENDED = (401, "bad-refresh-token")


class Person:
    """Somebody who signs in on devices."""

    def __init__(self, client: TestClient, user: User) -> None:
        self._client = client
        self.user = user

    def sign_in(self, agent: str = "tests") -> dict[str, Any]:
        body = {"email": self.user.email, "password": PASSWORD}
        headers = {"User-Agent": agent}
        answer = self._client.post(f"{PREFIX}/auth/login", json=body, headers=headers)
        assert answer.status_code == 200
        token: dict[str, Any] = answer.json()
        return token

    def refresh(self, refresh_token: str, **headers: str) -> Any:
        return self._client.post(
            f"{PREFIX}/auth/refresh", json={"refresh_token": refresh_token}, headers=headers
        )

    def sign_out(self, refresh_token: str, **more: Any) -> int:
        body = {"refresh_token": refresh_token, **more}
        status: int = self._client.post(f"{PREFIX}/auth/logout", json=body).status_code
        return status

    def calls_with(self, token: dict[str, Any]) -> Caller:
        return Caller(self._client, token["access_token"])

    def goes_on(self, token: dict[str, Any]) -> bool:
        """Tell whether an access token is good for a question of one's own, one of all, and a write."""
        caller = self.calls_with(token)
        seen = {
            caller.get("/users/me").status_code,
            caller.get("/events").status_code,
            caller.get("/registrations/me").status_code,
            caller.patch("/users/me", json={}).status_code,
        }
        return {frozenset({200}): True, frozenset({401}): False}[frozenset(seen)]


@pytest.fixture
def ana(running_app: TestClient, make: Factory) -> Person:
    return Person(running_app, make.user(email="ana@example.com"))


# Refreshing


def test_each_refresh_token_gets_the_next_and_both_access_tokens_are_good(ana: Person) -> None:
    first = ana.sign_in()
    second = ana.refresh(first["refresh_token"])
    assert (second.status_code, sorted(second.json())) == (200, sorted(first))
    assert second.json()["refresh_token"] != first["refresh_token"]
    third = ana.refresh(second.json()["refresh_token"]).json()
    assert [ana.goes_on(token) for token in (first, second.json(), third)] == [True, True, True]


@pytest.mark.parametrize("late", [1, 2, 3], ids=lambda times: f"after {times} more")
def test_a_refresh_token_used_twice_ends_its_session_and_no_other(ana: Person, late: int) -> None:
    other, family = ana.sign_in(), [ana.sign_in()]
    for _ in range(late):
        family.append(ana.refresh(family[-1]["refresh_token"]).json())
    assert refused(ana.refresh(family[0]["refresh_token"])) == ENDED
    assert [refused(ana.refresh(token["refresh_token"])) for token in family] == [ENDED] * len(family)
    assert [ana.goes_on(token) for token in family] == [False] * len(family)
    assert ana.goes_on(other)
    assert ana.refresh(other["refresh_token"]).status_code == 200


def test_the_end_of_a_session_is_logged_when_a_token_came_twice(
    ana: Person, caplog: pytest.LogCaptureFixture
) -> None:
    token = ana.sign_in()["refresh_token"]
    ana.refresh(token)
    with caplog.at_level("WARNING"):
        ana.refresh(token)
    said = f"a refresh token of account {ana.user.id} was used twice; its session has ended"
    assert [record.message for record in caplog.records if record.name == "app.services.auth"] == [said]


@pytest.mark.parametrize(
    "token",
    ["", "nonsense", "mer_" + "a" * 86, "mer_" + "\0" * 86, "mer_" + "ñ" * 86, "mer_" + "ab" * 43],
)
def test_what_was_never_given_out_opens_nothing(ana: Person, token: str) -> None:
    good = ana.sign_in()
    assert refused(ana.refresh(token)) == ENDED
    assert ana.sign_out(token) == 204
    assert ana.goes_on(good)


def test_an_access_token_and_a_key_are_no_refresh_tokens(ana: Person, make: Factory) -> None:
    token, key = ana.sign_in(), make.api_key(ana.user)[0]
    assert [refused(ana.refresh(other)) for other in (token["access_token"], key)] == [ENDED, ENDED]
    assert not ana.goes_on({"access_token": token["refresh_token"]})


def test_a_session_that_is_not_used_ends(ana: Person, db: Database) -> None:
    token = ana.sign_in()
    past = "created_at = now() - interval '30 days', last_used_at = now() - interval '30 days'"
    db.execute(text(f"UPDATE sign_ins SET {past}, expires_at = now()"))
    db.commit()
    assert refused(ana.refresh(token["refresh_token"])) == ENDED
    assert not ana.goes_on(token)


def test_a_session_that_is_used_goes_on(ana: Person, db: Database) -> None:
    token = ana.sign_in()
    past = "created_at = now() - interval '59 days', last_used_at = now() - interval '29 days'"
    db.execute(text(f"UPDATE sign_ins SET {past}, expires_at = now() + interval '1 day'"))
    db.commit()
    assert ana.refresh(token["refresh_token"]).status_code == 200
    lasts = text("SELECT expires_at - now(), last_used_at = now() FROM sign_ins WHERE id < :made_here")
    assert db.execute(lasts, {"made_here": SIGN_IN}).one() == (30 * DAY, True)


def test_answers_with_tokens_are_not_to_be_kept_by_anybody(ana: Person, anonymous: Caller) -> None:
    token = ana.sign_in()
    body = {"email": "luis@example.com", "password": PASSWORD}
    form = {"username": "luis@example.com", "password": PASSWORD}
    change = {"password": "another horse, another battery", "current_password": PASSWORD}
    answers = [
        anonymous.post("/auth/register", json=body),
        anonymous.post("/auth/login", json=body),
        anonymous.post("/auth/token", data=form),
        ana.refresh(token["refresh_token"]),
        ana.calls_with(token).patch("/users/me", json=change),
    ]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 5


def test_an_idempotency_key_keeps_no_answer_with_tokens(ana: Person, db: Database) -> None:
    token = ana.sign_in()["refresh_token"]
    assert ana.refresh(token, **{"Idempotency-Key": "k"}).status_code == 200
    assert refused(ana.refresh(token, **{"Idempotency-Key": "k"})) == ENDED
    assert db.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


# Signing out


def test_signing_out_ends_this_session_at_once(ana: Person) -> None:
    here, elsewhere = ana.sign_in(), ana.sign_in()
    assert ana.sign_out(here["refresh_token"]) == 204
    assert (ana.goes_on(here), ana.goes_on(elsewhere)) == (False, True)
    assert refused(ana.refresh(here["refresh_token"])) == ENDED
    assert ana.sign_out(here["refresh_token"]) == 204


def test_signing_out_everywhere_ends_every_session_and_no_key(
    ana: Person, make: Factory, running_app: TestClient
) -> None:
    tokens, other = [ana.sign_in() for _ in range(3)], Person(running_app, make.user())
    others, key = other.sign_in(), make.api_key(ana.user)[0]
    assert ana.sign_out(tokens[0]["refresh_token"], everywhere=True) == 204
    assert [ana.goes_on(token) for token in tokens] == [False] * 3
    assert [refused(ana.refresh(token["refresh_token"])) for token in tokens] == [ENDED] * 3
    assert other.goes_on(others)
    assert ana.calls_with({"access_token": key}).get("/users/me").status_code == 200


def test_an_older_token_of_the_family_signs_out_too(ana: Person) -> None:
    first = ana.sign_in()
    second = ana.refresh(first["refresh_token"]).json()
    assert ana.sign_out(first["refresh_token"]) == 204
    assert (ana.goes_on(first), ana.goes_on(second)) == (False, False)


# The list


def test_my_sessions_name_their_devices_and_which_of_them_asks(ana: Person, make: Factory) -> None:
    make.sign_in(make.user(), user_agent="of somebody else")
    phone, laptop = ana.sign_in("Phone/1.0"), ana.sign_in("x" * 300)
    page = ana.calls_with(phone).get("/users/me/sessions")
    assert page.headers["cache-control"] == "no-store"
    # The third is where the tests have signed the account in, on no device.
    shown = [(item["user_agent"], item["current"]) for item in page.json()["items"]]
    assert Counter(shown) == Counter([("Phone/1.0", True), ("x" * 255, False), (None, False)])
    assert sorted(page.json()["items"][0]) == [
        *("created_at", "current", "expires_at", "id", "last_used_at", "user_agent")
    ]
    assert page.json()["total"] == 3
    current = [item["current"] for item in ana.calls_with(laptop).get("/users/me/sessions").json()["items"]]
    assert sum(current) == 1


def test_the_device_last_used_stands_first_and_one_that_ended_nowhere(ana: Person, make: Factory) -> None:
    now = datetime.now(UTC)
    made = [
        make.sign_in(ana.user, created_at=now - 9 * DAY, last_used_at=now - days * DAY).id
        for days in (3, 1, 2)
    ]
    make.sign_in(ana.user, created_at=now - 9 * DAY, last_used_at=now - 8 * DAY, expires_at=now - DAY)
    make.sign_in(ana.user, token_version=0)
    caller = ana.calls_with(ana.sign_in())
    assert ids(caller.get("/users/me/sessions"))[2:] == [made[1], made[2], made[0]]
    assert ids(caller.get("/users/me/sessions", params={"page": 2, "size": 4})) == [made[0]]


@pytest.mark.parametrize("devices", [1, 3])
def test_the_list_costs_the_same_however_many_there_are(
    ana: Person, make: Factory, statements: list[str], devices: int
) -> None:
    for _ in range(devices):
        make.sign_in(ana.user)
    caller = ana.calls_with(ana.sign_in())
    statements.clear()
    assert len(ids(caller.get("/users/me/sessions"))) == devices + 2
    assert len(statements) == 3


def test_a_device_is_signed_out_from_another(ana: Person) -> None:
    here, lost = ana.sign_in("Here"), ana.sign_in("Lost")
    caller = ana.calls_with(here)
    (lost_id,) = [
        item["id"]
        for item in caller.get("/users/me/sessions").json()["items"]
        if item["user_agent"] == "Lost"
    ]
    assert caller.delete(f"/users/me/sessions/{lost_id}").status_code == 204
    assert (ana.goes_on(here), ana.goes_on(lost)) == (True, False)
    assert refused(ana.refresh(lost["refresh_token"])) == ENDED
    assert refused(caller.delete(f"/users/me/sessions/{lost_id}")) == (404, "not-found")


def test_nobody_ends_the_session_of_another(ana: Person, make: Factory) -> None:
    other = make.sign_in(make.user())
    caller = ana.calls_with(ana.sign_in())
    assert refused(caller.delete(f"/users/me/sessions/{other.id}")) == (404, "not-found")


# What ends all of them


def by_password(ana: Person, token: dict[str, Any], _: Caller) -> Any:
    change = {"password": "another horse, another battery", "current_password": PASSWORD}
    return ana.calls_with(token).patch("/users/me", json=change)


def by_address(ana: Person, token: dict[str, Any], _: Caller) -> Any:
    change = {"email": "new@example.com", "current_password": PASSWORD}
    return ana.calls_with(token).patch("/users/me", json=change)


def by_role(ana: Person, _: dict[str, Any], admin: Caller) -> Any:
    return admin.patch(f"/users/{ana.user.id}", json={"role": "ORGANIZER"})


def by_switching_off(ana: Person, _: dict[str, Any], admin: Caller) -> Any:
    return admin.patch(f"/users/{ana.user.id}", json={"is_active": False})


@pytest.mark.parametrize("change", [by_password, by_address, by_role, by_switching_off])
def test_a_new_password_address_or_role_and_a_switch_off_end_everything_at_once(
    ana: Person, make: Factory, signed_in: SignedIn, change: Callable[..., Any]
) -> None:
    here, elsewhere = ana.sign_in(), ana.sign_in()
    session = make.session(event := make.event())
    doors = [f"/registrations/events/{event.id}", f"/registrations/sessions/{session.id}"]
    assert [ana.calls_with(elsewhere).post(door).status_code for door in doors] == [201, 201]
    admin = signed_in(make.admin())
    answer = change(ana, here, admin)
    assert answer.status_code == 200
    for token in (here, elsewhere):
        assert not ana.goes_on(token)
        assert refused(ana.refresh(token["refresh_token"])) == ENDED
        assert [refused(ana.calls_with(token).post(door)) for door in doors] == [(401, "unauthorized")] * 2
    if change in {by_password, by_address}:
        token = answer.json()["token"]
        assert ana.goes_on(token)
        assert ana.goes_on(ana.refresh(token["refresh_token"]).json())


@pytest.mark.parametrize("way", ["signed out", "ended", "used twice"])
def test_an_ended_session_gets_no_place_and_no_seat(ana: Person, make: Factory, way: str) -> None:
    session = make.session(event := make.event())
    token, other = ana.sign_in("Ended"), ana.sign_in()
    caller = ana.calls_with(other)
    if way == "signed out":
        ana.sign_out(token["refresh_token"])
    elif way == "ended":
        (found,) = [
            item["id"]
            for item in caller.get("/users/me/sessions").json()["items"]
            if item["user_agent"] == "Ended"
        ]
        caller.delete(f"/users/me/sessions/{found}")
    else:
        ana.refresh(token["refresh_token"])
        ana.refresh(token["refresh_token"])
    for door in (f"/registrations/events/{event.id}", f"/registrations/sessions/{session.id}"):
        assert refused(ana.calls_with(token).post(door)) == (401, "unauthorized")
        assert caller.post(door).status_code == 201


def test_whatever_moves_the_accounts_version_on_ends_its_sessions(
    ana: Person, connection: Connection
) -> None:
    token = ana.sign_in()
    connection.execute(text("UPDATE users SET token_version = token_version + 1"))
    assert refused(ana.refresh(token["refresh_token"])) == ENDED
    assert not ana.goes_on(token)


def test_a_sign_in_that_a_new_password_overtook_is_over_before_it_begins(
    app: FastAPI, ana: Person, db: Database
) -> None:
    """Between the check of the password and the sign-in lies the change of the password."""
    overtaken = User(id=ana.user.id, email=ana.user.email, token_version=ana.user.token_version)
    by_password(ana, ana.sign_in(), Caller(ana._client))  # noqa: SLF001
    token = RefreshToken.new()
    made = crud.sign_ins.add(db, overtaken, Device(app.state.tokens, None), token)
    db.commit()
    assert refused(ana.refresh(str(token))) == ENDED
    assert not ana.goes_on({"access_token": app.state.tokens.issue(overtaken.claims(made.id))})


# What the database knows


def test_no_token_is_in_the_database(ana: Person, connection: Connection, db: Database) -> None:
    first = ana.sign_in()
    second = ana.refresh(first["refresh_token"]).json()
    rows = [
        row
        for table in connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        for row in connection.scalars(text(f'SELECT t::text FROM "{table}" AS t'))
    ]
    assert any(ana.user.email in row for row in rows)
    for token in (first, second):
        for secret in (token["access_token"], token["refresh_token"]):
            # Of a refresh token neither half, in text or as bytes.
            for part in {secret, secret[4:47], secret[47:90]}:
                planted = {part, part.encode().hex()}
                assert [row for row in rows for said in planted if said in row] == []


def test_sign_ins_are_forgotten_once_they_have_expired(live: Store) -> None:
    now = datetime.now(UTC)
    past = {"created_at": now - 40 * DAY, "last_used_at": now - 31 * DAY}
    with live.job() as db:
        make = Factory(db)
        user = make.user()
        fresh = make.sign_in(user).id
        gone = [make.sign_in(user, None, **past, expires_at=now - hours * DAY).id for hours in (1, 2)]
    asyncio.run(live.chore(partial(crud.sign_ins.delete_expired, limit=10)))
    with live.job() as db:
        assert [db.get(SignIn, key) is not None for key in (fresh, *gone)] == [True, False, False]


# Two at the same instant, over real connections


def together(*works: Callable[[], Any]) -> list[Any]:
    """Do all of ``works`` at once, and return what came of each."""
    start, outcomes = threading.Barrier(len(works)), [None] * len(works)

    def run(place: int) -> None:
        start.wait()
        outcomes[place] = works[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_without_a_lock_two_who_refresh_at_once_both_get_tokens(live: Store) -> None:
    """Show that the race is real: who looks before writing lets both of them through."""
    token = RefreshToken.new()
    with live.job() as db:
        make = Factory(db)
        make.sign_in(make.user(), token)
    with live.units() as first, live.units() as second:
        found = [crud.sign_ins.get_of_family(db, token) for db in (first, second)]
        assert [sign_in is not None and sign_in.token_digest == token.digest for sign_in in found] == [
            True
        ] * 2


@pytest.mark.parametrize("racers", [2, 6])
def test_of_those_who_refresh_at_once_one_gets_tokens_and_the_session_ends(
    live: Store, live_url: str, racers: int
) -> None:
    app = create_app(Settings(_env_file=None, database_url=live_url, secret_key=SECRET, log_level="ERROR"))
    with TestClient(app) as client:
        for round_ in range(5):
            with live.job() as db:
                person = Person(client, Factory(db).user(email=f"ana{round_}@example.com"))
            token = person.sign_in()
            answers = together(*[partial(person.refresh, token["refresh_token"])] * racers)
            assert Counter(answer.status_code for answer in answers) == Counter({200: 1, 401: racers - 1})
            (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
            assert refused(person.refresh(winner["refresh_token"])) == ENDED
            assert not person.goes_on(winner)


def test_those_who_sign_out_everywhere_at_once_never_wait_in_a_circle(live: Store, live_url: str) -> None:
    app = create_app(Settings(_env_file=None, database_url=live_url, secret_key=SECRET, log_level="ERROR"))
    with TestClient(app) as client:
        with live.job() as db:
            person = Person(client, Factory(db).user())
        for _ in range(5):
            tokens = [RefreshToken.new() for _ in range(8)]
            with live.job() as db:
                for token in tokens:
                    Factory(db).sign_in(person.user, token)
            works = [partial(person.sign_out, str(token), everywhere=True) for token in tokens]
            assert together(*works) == [204] * 8
            with live.job() as db:
                assert db.scalar(text("SELECT count(*) FROM sign_ins")) == 0
