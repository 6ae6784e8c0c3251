"""How often one may ask, who counts for whom, and what those are told who ask more often."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import api
from app.api import create_app
from app.core.database import Store
from app.core.security import ApiKeys, Claims, Tokens
from app.core.settings import Settings
from app.tests.conftest import PREFIX, SECRET
from app.tests.factories import PASSWORD, Factory
from app.tests.routers.conftest import refused

PROXY = "10.0.0.1"
ANA = Claims(uid=1, sub="ana@example.com", ver=1, sid=1)
LUIS = Claims(uid=2, sub="luis@example.com", ver=1, sid=1)
TOKENS = Tokens(SECRET, timedelta(hours=1))
FORGED = Tokens(SECRET[::-1], timedelta(hours=1)).issue(ANA)
ENDED = Tokens(SECRET, timedelta(seconds=-1)).issue(ANA)
# Nothing of these tests asks the database, unless it is told where that is.
NOWHERE = "postgresql://nobody@127.0.0.1:9/nowhere"


def limited(*, database_url: str = NOWHERE, **limits: Any) -> FastAPI:
    """Put together an application with these limits."""
    return create_app(
        Settings(
            _env_file=None,
            database_url=database_url,
            secret_key=SECRET,
            log_level="ERROR",
            **{f"rate_limit_{name}": rate for name, rate in limits.items() if name != "trusted_proxies"},
            trusted_proxies=limits.get("trusted_proxies", []),
        )
    )


def at(address: str, app: FastAPI) -> TestClient:
    """Call from an address."""
    return TestClient(app, client=(address, 50_000))


def bearer(token: str | Claims) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.issue(token) if isinstance(token, Claims) else token}"}


def read(client: TestClient, **options: Any) -> int:
    """Ask for something that there is not, and return the status."""
    return client.get(f"{PREFIX}/nothing", **options).status_code


def write(client: TestClient, token: str | Claims | None = None, **options: Any) -> int:
    headers = bearer(token) if token else {}
    return client.post(f"{PREFIX}/nothing", headers=headers, **options).status_code


# What is said


def test_who_is_refused_is_told_when_to_come_back_and_is_served_then() -> None:
    client = at("198.51.100.1", limited(reads="2/second"))
    # Until two of them fall into one window and a third follows.
    answer = client.get(f"{PREFIX}/nothing")
    while answer.status_code == 404:
        answer = client.get(f"{PREFIX}/nothing")
    assert refused(answer) == (429, "too-many-requests")
    document = answer.json()
    assert (document["limit"], document["retry_after"]) == ("reads", 1)
    assert document["detail"] == "Too many requests. Try again in 1 s."
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit-policy"] == '"reads";q=2;w=1'
    assert answer.headers["ratelimit"] == '"reads";r=0;t=1'
    time.sleep(1)
    assert read(client) == 404


def test_who_is_served_is_told_what_is_left() -> None:
    client = at("198.51.100.1", limited(reads="3/minute"))
    answers = [client.get(f"{PREFIX}/nothing") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"reads";q=3;w=60'}
    left = [answer.headers["ratelimit"].partition(";t=") for answer in answers]
    assert [said for said, _, _ in left] == [f'"reads";r={count}' for count in (2, 1, 0, 0)]
    assert all(50 < int(seconds) <= 60 for _, _, seconds in left)


def test_a_frontend_may_read_what_it_is_told() -> None:
    client = at("198.51.100.1", limited(reads="1/hour"))
    answers = [client.get(f"{PREFIX}/nothing", headers={"Origin": "http://localhost:5173"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404, 429]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)
        assert len(answer.headers["x-request-id"]) == 32


def test_where_nothing_is_limited_nothing_is_said() -> None:
    answer = at("198.51.100.1", limited(reads="off")).get(f"{PREFIX}/nothing")
    assert [name for name in answer.headers if name.startswith("ratelimit")] == []


# Who counts for whom


def test_an_address_uses_up_its_own_reads_only() -> None:
    app = limited(reads="2/hour")
    assert [read(at("198.51.100.1", app)) for _ in range(3)] == [404, 404, 429]
    assert read(at("198.51.100.2", app)) == 404


@pytest.mark.parametrize(
    ("one", "other", "second"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", 429),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", 404),
        ("::ffff:198.51.100.1", "198.51.100.1", 429),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.2", 404),
    ],
)
def test_the_addresses_that_one_machine_may_choose_from_count_as_one(
    one: str, other: str, second: int
) -> None:
    app = limited(reads="1/hour")
    assert read(at(one, app)) == 404
    assert read(at(other, app)) == second


def test_a_user_uses_up_their_own_writes_only_from_wherever() -> None:
    app = limited(writes="2/hour")
    statuses = [write(at(f"198.51.100.{number}", app), ANA) for number in range(3)]
    assert statuses == [404, 404, 429]
    assert write(at("198.51.100.1", app), LUIS) == 404


def test_a_crowd_behind_one_address_writes_as_much_as_its_people_may() -> None:
    client = at("198.51.100.1", limited(writes="1/hour", reads="1/hour"))
    crowd = [Claims(uid=uid, sub="x@example.com", ver=1, sid=1) for uid in range(1, 200)]
    assert [write(client, person) for person in crowd] == [404] * len(crowd)
    assert write(client, crowd[0]) == 429


@pytest.mark.parametrize("token", [FORGED, ENDED, "no token", None])
def test_a_token_that_is_not_valid_uses_up_nobodys_writes_but_the_reads_of_its_address(
    token: str | None,
) -> None:
    app = limited(writes="1/hour", reads="3/hour")
    assert [write(at("198.51.100.1", app), token) for _ in range(4)] == [404, 404, 404, 429]
    assert write(at("198.51.100.1", app), ANA) == 404
    assert read(at("198.51.100.2", app)) == 404


def test_a_key_uses_up_writes_of_its_own_and_the_reads_of_its_address() -> None:
    key, other, made_up = (ApiKeys.new(ANA.uid) for _ in range(3))
    client = at("198.51.100.1", limited(writes="1/hour", reads="4/hour"))
    assert [write(client, token) for token in (key, key, other, ANA)] == [404, 429, 404, 404]
    assert [write(client, made_up), write(client, ApiKeys.new(ANA.uid))] == [404, 429]


def test_a_token_that_ended_with_its_version_uses_up_nothing_of_the_new_one() -> None:
    client = at("198.51.100.1", limited(writes="1/hour"))
    assert [write(client, ANA) for _ in range(2)] == [404, 429]
    assert write(client, Claims(uid=ANA.uid, sub=ANA.sub, ver=ANA.ver + 1, sid=1)) == 404


def test_the_door_is_open_when_reads_and_writes_are_used_up() -> None:
    client = at("198.51.100.1", limited(reads="1/hour", writes="1/hour", check_ins="2/hour"))
    assert [read(client), read(client), write(client, ANA), write(client, ANA)] == [404, 429, 404, 429]
    # The address and its people have nothing left; 405 is what a path of the door says to PUT.
    door = f"{PREFIX}/events/1/check-ins"
    answers = [client.put(path, headers=bearer(ANA)).status_code for path in (door, f"{door}/batch", door)]
    assert answers == [405, 405, 429]
    assert client.put(door, headers=bearer(LUIS)).status_code == 405


def test_a_trailing_slash_leads_past_no_limit(live_url: str) -> None:
    door = f"{PREFIX}/events/1/check-ins"
    with at("198.51.100.1", limited(database_url=live_url, sign_in="2/hour", check_ins="1/hour")) as client:
        answers = [client.post(f"{PREFIX}/auth/login{end}").status_code for end in ("", "/", "//")]
        assert answers == [422, 422, 429]
        assert [client.put(door + end, headers=bearer(ANA)).status_code for end in ("/", "")] == [405, 429]


def test_looking_without_the_body_is_reading() -> None:
    client = at("198.51.100.1", limited(reads="2/hour"))
    answers = [client.head(f"{PREFIX}/nothing") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert answers[2].content == b""
    assert read(client) == 429


def test_health_checks_and_questions_of_browsers_are_not_limited() -> None:
    client = at("198.51.100.1", limited(reads="1/hour", writes="1/hour"))
    assert [read(client), read(client)] == [404, 429]
    preflight = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "PATCH"}
    for _ in range(3):
        assert client.get("/health/live").status_code == 200
        assert client.options(f"{PREFIX}/events", headers=preflight).status_code == 200
        assert client.options(f"{PREFIX}/events").status_code == 405


class CountingTokens(Tokens):
    """Tokens that know how often one was read."""

    read_so_far = 0

    def read(self, token: str) -> Claims | None:
        self.read_so_far += 1
        return super().read(token)


def test_the_token_of_a_request_is_read_once(live_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "Tokens", CountingTokens)
    app = limited(database_url=live_url, writes="9/hour")
    with at("198.51.100.1", app) as client:
        for number, path in enumerate(("/registrations/events/1", "/speakers", "/events/1/check-ins"), 1):
            assert client.post(PREFIX + path, headers=bearer(ANA)).status_code != 429
            assert app.state.tokens.read_so_far == number


# Behind a proxy


def forwarded(client: TestClient, *chain: str) -> int:
    return read(client, headers={"X-Forwarded-For": ", ".join(chain)})


def test_an_address_is_believed_from_nobody_by_default() -> None:
    client = at("198.51.100.1", limited(reads="2/hour"))
    assert [forwarded(client, f"203.0.113.{number}") for number in range(3)] == [404, 404, 429]


def test_an_address_is_believed_from_the_proxies_that_are_trusted_only() -> None:
    app = limited(reads="1/hour", trusted_proxies=[PROXY])
    proxy = at(PROXY, app)
    assert [forwarded(proxy, "203.0.113.1"), forwarded(proxy, "203.0.113.2")] == [404, 404]
    assert [forwarded(proxy, "203.0.113.1"), forwarded(proxy, "203.0.113.2")] == [429, 429]
    stranger = at("10.0.0.2", app)
    assert [forwarded(stranger, "203.0.113.7"), forwarded(stranger, "203.0.113.8")] == [404, 429]


def test_what_a_client_says_of_itself_behind_a_proxy_is_not_believed() -> None:
    proxy = at(PROXY, limited(reads="1/hour", trusted_proxies=[PROXY]))
    assert forwarded(proxy, "192.0.2.1", "203.0.113.1") == 404
    assert forwarded(proxy, "192.0.2.2", "203.0.113.1") == 429


def test_a_chain_of_trusted_proxies_leads_to_the_client_before_them() -> None:
    proxy = at(PROXY, limited(reads="1/hour", trusted_proxies=["10.0.0.0/8", "2001:db8::/32"]))
    assert forwarded(proxy, "203.0.113.1", "2001:db8::7", "10.9.9.9") == 404
    assert forwarded(proxy, "203.0.113.2", "2001:db8::8", "10.9.9.9") == 404
    assert forwarded(proxy, "203.0.113.1", "10.1.1.1") == 429


# Passwords


class Door:
    """An application with two accounts, that people try to sign in to from anywhere."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def sign_in(self, address: str, password: str = "a wrong password", email: str = ANA.sub) -> int:
        body = {"email": email, "password": password}
        return self._call("/auth/login", address, json=body)

    def change_password(self, address: str, token: str) -> int:
        body = {"current_password": "a wrong password", "password": f"another {PASSWORD}"}
        return self._call("/users/me", address, method="PATCH", json=body, headers=bearer(token))

    def token(self, address: str) -> str:
        body = {"email": ANA.sub, "password": PASSWORD}
        headers = {"X-Forwarded-For": address}
        answer = self._client.post(f"{PREFIX}/auth/login", json=body, headers=headers)
        return str(answer.json()["access_token"])

    def _call(
        self,
        path: str,
        address: str,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        **sent: Any,
    ) -> int:
        headers = {**(headers or {}), "X-Forwarded-For": address}
        return self._client.request(method, PREFIX + path, headers=headers, **sent).status_code


Opened = Callable[..., Any]


@pytest.fixture
def door(live: Store, live_url: str) -> Opened:
    """Open the door of an application with these limits and two accounts."""

    @contextmanager
    def open_door(**limits: str) -> Iterator[Door]:
        with live.job() as db:
            make = Factory(db)
            make.user(email=ANA.sub)
            make.user(email=LUIS.sub)
        app = limited(database_url=live_url, trusted_proxies=[PROXY], **limits)
        with TestClient(app, client=(PROXY, 50_000)) as client:
            yield Door(client)

    return open_door


def test_an_account_is_not_guessed_faster_from_many_addresses(door: Opened) -> None:
    with door(account="6/hour") as tried:
        statuses = [tried.sign_in(f"203.0.113.{number}") for number in range(8)]
        assert statuses == [401] * 6 + [429] * 2
        # Not even the right password, or its guesser would learn that it was right.
        assert tried.sign_in("203.0.113.99", PASSWORD) == 429
        assert tried.sign_in("203.0.113.1", email=LUIS.sub) == 401


def test_an_account_that_does_not_exist_is_limited_like_one_that_does(door: Opened) -> None:
    with door(account="4/hour") as tried:
        for email in (ANA.sub, "nobody@example.com"):
            statuses = [tried.sign_in(f"203.0.113.{number}", email=email) for number in range(6)]
            assert statuses == [401] * 4 + [429] * 2


def test_an_account_is_one_in_whatever_case_it_is_written(door: Opened) -> None:
    with door(account="2/hour") as tried:
        statuses = [
            tried.sign_in(f"203.0.113.{number}", email=email)
            for number, email in enumerate(("ana@example.com", "ANA@example.com", "Ana@Example.COM"))
        ]
        assert statuses == [401, 401, 429]


def test_one_attacker_never_locks_the_owner_out(door: Opened) -> None:
    with door(account="6/hour") as tried:
        assert [tried.sign_in("203.0.113.1") for _ in range(20)] == [401] * 3 + [429] * 17
        assert tried.sign_in("198.51.100.1", PASSWORD) == 200


def test_many_attackers_do_not_lock_the_owner_out_at_home(door: Opened) -> None:
    with door(account="6/hour") as tried:
        assert tried.sign_in("198.51.100.1", PASSWORD) == 200
        statuses = [tried.sign_in(f"203.0.113.{number}") for number in range(20)]
        # The owner's own attempt was one of the six.
        assert statuses == [401] * 5 + [429] * 15
        assert tried.sign_in("198.51.100.1", PASSWORD) == 200
        # Elsewhere it takes until the window is over.
        assert tried.sign_in("198.51.100.2", PASSWORD) == 429


def test_home_is_no_place_to_guess_from(door: Opened) -> None:
    with door(account="6/hour") as tried:
        assert tried.sign_in("198.51.100.1", PASSWORD) == 200
        assert [tried.sign_in("198.51.100.1") for _ in range(5)] == [401] * 3 + [429] * 2


def test_the_right_password_takes_the_wrong_ones_back(door: Opened) -> None:
    with door(account="6/hour") as tried:
        for _ in range(3):
            assert [tried.sign_in("198.51.100.1") for _ in range(2)] == [401, 401]
            assert tried.sign_in("198.51.100.1", PASSWORD) == 200


def test_an_account_may_be_tried_again_when_the_window_is_over(door: Opened) -> None:
    with door(account="2/3seconds") as tried:
        assert [tried.sign_in(f"203.0.113.{number}") for number in range(3)] == [401, 401, 429]
        time.sleep(3)
        assert tried.sign_in("203.0.113.4") == 401


def test_a_stolen_token_guesses_no_faster_than_the_sign_in(door: Opened) -> None:
    with door(account="4/hour") as tried:
        token = tried.token("198.51.100.1")
        statuses = [tried.change_password("203.0.113.1", token) for _ in range(4)]
        assert statuses == [403, 403, 429, 429]


def test_one_address_signs_in_to_many_accounts_as_often_as_set(door: Opened) -> None:
    with door(sign_in="3/hour") as tried:
        statuses = [tried.sign_in("203.0.113.1", email=f"person{number}@example.com") for number in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert tried.sign_in("203.0.113.2", PASSWORD) == 200


def test_a_refusal_by_account_says_so_beside_what_the_address_has_left(live_url: str) -> None:
    body = {"email": "nobody@example.com", "password": PASSWORD}
    with at("203.0.113.1", limited(database_url=live_url, account="1/hour", sign_in="9/hour")) as client:
        client.post(f"{PREFIX}/auth/login", json=body)
        answer = client.post(f"{PREFIX}/auth/login", json=body)
    assert refused(answer) == (429, "too-many-requests")
    assert answer.json()["limit"] == "account-from-here"
    assert 3_590 < int(answer.headers["retry-after"]) <= 3_600
    standing = [said.partition(";t=")[0] for said in answer.headers.get_list("ratelimit")]
    assert standing == ['"account-from-here";r=0', '"sign-in";r=7']
