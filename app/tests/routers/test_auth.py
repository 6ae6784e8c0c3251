"""Signing up, signing in, and which tokens are believed."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from jose import jwe, jwt
from sqlalchemy import text

from app.api import create_app
from app.core.database import Database, Store
from app.core.security import PasswordHasher
from app.core.settings import Settings
from app.models import User
from app.models.enums import Role
from app.schemas.fields import TOO_COMMON, TOO_PERSONAL
from app.tests.conftest import PREFIX, SECRET, Caller
from app.tests.factories import PASSWORD, Factory
from app.tests.factories import claims_of as facts_of

BAD_CREDENTIALS = "No active account has this email and password. Check both and try again."


def sign_up(caller: Caller, email: str = "ana@example.com", password: str = PASSWORD, **more: Any) -> Any:
    return caller.post("/auth/register", json={"email": email, "password": password, **more})


def sign_in(caller: Caller, email: str = "ana@example.com", password: str = PASSWORD) -> Any:
    return caller.post("/auth/login", json={"email": email, "password": password})


def me(caller: Caller, authorization: str) -> Any:
    return caller.get("/users/me", headers={"Authorization": authorization})


def is_a_token(answer: dict[str, Any]) -> bool:
    """Tell whether an answer has a pair of tokens and what the contract says of them."""
    secrets = {name: answer[name] for name in ("access_token", "refresh_token")}
    about = {"token_type": "bearer", "expires_in": 1_800, "refresh_expires_in": 2_592_000}
    return answer == {**secrets, **about} and secrets["refresh_token"].startswith("mer_")


# Signing up


def test_a_new_account_answers_a_token_that_opens_it(anonymous: Caller) -> None:
    response = sign_up(anonymous, "Ana@Example.com", full_name="  Ana Gómez ")
    assert response.status_code == 201
    token = response.json()
    assert is_a_token(token)
    account = me(anonymous, f"Bearer {token['access_token']}").json()
    assert account == {
        "id": account["id"],
        "email": "ana@example.com",
        "full_name": "Ana Gómez",
        "role": "ATTENDEE",
        "is_active": True,
        "created_at": account["created_at"],
    }


def test_a_token_says_of_its_account_what_the_contract_names(anonymous: Caller) -> None:
    token = sign_up(anonymous).json()["access_token"]
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.get_unverified_claims(token)
    assert sorted(claims) == ["exp", "iat", "sid", "sub", "uid", "ver"]
    assert (claims["sub"], claims["ver"], claims["exp"] - claims["iat"]) == ("ana@example.com", 1, 1_800)


def test_addresses_that_differ_only_in_case_make_one_account(anonymous: Caller, db: Database) -> None:
    assert sign_up(anonymous, "ana@example.com").status_code == 201
    again = sign_up(anonymous, "ANA@example.COM")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/email-taken")
    assert db.scalar(text("SELECT count(*) FROM users")) == 1
    assert sign_in(anonymous, "aNa@eXample.com").status_code == 200


def test_a_password_is_stored_as_argon2id_and_never_as_it_is(anonymous: Caller, db: Database) -> None:
    sign_up(anonymous)
    stored = db.scalar(text("SELECT password_hash FROM users"))
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in stored


@pytest.mark.parametrize("length", [8, 128])
def test_a_password_as_short_and_as_long_as_allowed_signs_in(anonymous: Caller, length: int) -> None:
    assert sign_up(anonymous, password="ñ" * length).status_code == 201
    assert sign_in(anonymous, password="ñ" * length).status_code == 200


@pytest.mark.parametrize(
    "password", ["", "seven77", "x" * 129, "with\0nul-inside", None, 12_345_678, ["12345678"]]
)
def test_a_password_out_of_bounds_is_refused_where_it_is(anonymous: Caller, password: Any) -> None:
    response = sign_up(anonymous, password=password)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/password"]


@pytest.mark.parametrize(
    ("password", "advice"),
    [
        ("password", TOO_COMMON),
        ("PassWord1", TOO_COMMON),
        ("1q2w3e4r5t", TOO_COMMON),
        ("ana.gomez@example.com", TOO_PERSONAL),
        ("AnaGomez1990", TOO_PERSONAL),
        ("example.com!", TOO_PERSONAL),
        ("Restrepo-2026", TOO_PERSONAL),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused_with_advice(
    anonymous: Caller, password: str, advice: str
) -> None:
    response = sign_up(anonymous, "ana.gomez@example.com", password, full_name="Ana Restrepo")
    assert response.status_code == 422
    assert response.json()["errors"] == [{"pointer": "/password", "detail": advice}]


def test_a_password_may_hold_ones_name_among_words_enough(anonymous: Caller) -> None:
    assert sign_up(anonymous, "ana@example.com", "an anaconda is no pet").status_code == 201


def test_long_passwords_are_not_cut_at_72_bytes(anonymous: Caller) -> None:
    common = "x" * 72
    assert sign_up(anonymous, password=common + "a" * 28).status_code == 201
    assert sign_in(anonymous, password=common + "b" * 28).status_code == 401
    assert sign_in(anonymous, password=common).status_code == 401
    assert sign_in(anonymous, password=common + "a" * 28).status_code == 200


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ana",
        "ana@",
        "@example.com",
        "ana\0@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 250 + ".com",
    ],
)
def test_an_address_nobody_can_have_is_refused(anonymous: Caller, email: str) -> None:
    response = sign_up(anonymous, email)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/email"]


@pytest.mark.parametrize("field", ["role", "is_active", "id", "token_version", "password_hash"])
def test_nobody_signs_up_with_more_than_the_contract_names(anonymous: Caller, field: str) -> None:
    response = sign_up(anonymous, **{field: "ADMIN"})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": f"/{field}", "detail": "there is no such field; take it out"}
    ]


# Signing in


def form(caller: Caller, email: str = "ana@example.com", password: str = PASSWORD) -> Any:
    return caller.post("/auth/token", data={"username": email, "password": password})


@pytest.mark.parametrize("way_in", [sign_in, form])
def test_both_ways_in_answer_a_token(anonymous: Caller, make: Factory, way_in: Callable[..., Any]) -> None:
    user = make.user(email="ana@example.com")
    response = way_in(anonymous)
    assert response.status_code == 200
    assert is_a_token(response.json())
    assert me(anonymous, f"Bearer {response.json()['access_token']}").json()["id"] == user.id


@pytest.mark.parametrize("way_in", [sign_in, form])
def test_unknown_wrong_and_inactive_are_answered_alike(
    anonymous: Caller, make: Factory, way_in: Callable[..., Any]
) -> None:
    make.user(email="ana@example.com")
    make.user(email="off@example.com", is_active=False)
    refusals = [
        way_in(anonymous, "nobody@example.com"),
        way_in(anonymous, "ana@example.com", "not the password"),
        way_in(anonymous, "off@example.com"),
    ]
    assert [refusal.status_code for refusal in refusals] == [401, 401, 401]
    assert [refusal.headers["www-authenticate"] for refusal in refusals] == ["Bearer"] * 3
    documents = [refusal.json() for refusal in refusals]
    assert [{**document, "request_id": "same"} for document in documents] == [
        {
            "type": "/problems/bad-credentials",
            "title": "Wrong email or password",
            "status": 401,
            "detail": BAD_CREDENTIALS,
            "request_id": "same",
        }
    ] * 3


def test_an_unknown_address_takes_as_long_as_a_wrong_password(anonymous: Caller, make: Factory) -> None:
    make.user(email="ana@example.com")

    def least(email: str) -> float:
        spent = []
        for _ in range(5):
            # The work done and not the time passed, which a busy machine stretches as it likes.
            began = time.process_time()
            sign_in(anonymous, email, "not the password")
            spent.append(time.process_time() - began)
        return min(spent)

    sign_in(anonymous, "nobody@example.com")
    known, unknown = least("ana@example.com"), least("nobody@example.com")
    assert unknown > known / 2


@pytest.mark.parametrize(
    ("username", "status", "slug"),
    [
        ("no address", 401, "bad-credentials"),
        ("ana\0@example.com", 401, "bad-credentials"),
        ("", 422, "invalid-request"),
    ],
)
def test_the_form_refuses_what_is_no_address(
    anonymous: Caller, username: str, status: int, slug: str
) -> None:
    response = form(anonymous, username)
    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{slug}")


def test_the_form_does_not_read_json(anonymous: Caller) -> None:
    response = anonymous.post("/auth/token", json={"username": "ana@example.com", "password": PASSWORD})
    assert (response.status_code, response.json()["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Bearer", "Basic YTpi"])
def test_signing_up_and_in_read_no_token(anonymous: Caller, authorization: str) -> None:
    headers = {"Authorization": authorization}
    body = {"email": "ana@example.com", "password": PASSWORD}
    assert anonymous.post("/auth/register", json=body, headers=headers).status_code == 201
    assert anonymous.post("/auth/login", json=body, headers=headers).status_code == 200
    data = {"username": "ana@example.com", "password": PASSWORD}
    assert anonymous.post("/auth/token", data=data, headers=headers).status_code == 200


@pytest.mark.parametrize("way_in", [sign_in, form])
@pytest.mark.parametrize("weaker", [{"memory_kib": 8_192}, {"passes": 1}], ids=str)
def test_a_hash_of_an_earlier_day_is_made_anew_when_its_owner_signs_in(
    anonymous: Caller, make: Factory, db: Database, way_in: Callable[..., Any], weaker: dict[str, int]
) -> None:
    user = make.user(email="ana@example.com", password_hash=PasswordHasher(**weaker).hash(PASSWORD))
    old = user.password_hash
    way_in(anonymous, "ana@example.com", "not the password")
    db.refresh(user)
    assert user.password_hash == old
    for _ in range(2):
        assert way_in(anonymous).status_code == 200
        db.refresh(user)
        assert user.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert user.token_version == 1


def test_a_hash_of_today_is_left_alone(anonymous: Caller, make: Factory, db: Database) -> None:
    user = make.user(email="ana@example.com")
    before = user.password_hash
    assert sign_in(anonymous).status_code == 200
    db.refresh(user)
    assert user.password_hash == before


# Which tokens are believed


def signed(claims: Any, *, key: str = SECRET, alg: str = "HS256", digest: Any = hashlib.sha256) -> str:
    """Sign anything at all, also what no library would."""
    head = segment(json.dumps({"alg": alg, "typ": "JWT"}).encode())
    body = segment(json.dumps(claims).encode())
    return f"{head}.{body}.{segment(hmac.new(key.encode(), f'{head}.{body}'.encode(), digest).digest())}"


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(user: User, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {**asdict(facts_of(user)), "iat": now, "exp": now + 600}
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def refused(response: Any) -> None:
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["type"] == "/problems/unauthorized"
    assert response.json()["detail"].endswith(".")


def test_the_tests_own_signature_is_good(anonymous: Caller, make: Factory) -> None:
    user = make.user()
    assert me(anonymous, f"Bearer {signed(claims_of(user))}").status_code == 200
    assert me(anonymous, f"bearer  {signed(claims_of(user))} ").status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": ...},
        {"exp": "soon"},
        {"iat": ...},
        {"sub": ...},
        {"uid": ...},
        {"ver": ...},
        {"sid": ...},
        {"sid": 1},
        {"sid": "1"},
        {"sid": True},
        {"sid": 0},
        {"sid": 2**31},
        {"sub": 7},
        {"sub": None},
        {"sub": "someone-else@example.com"},
        {"uid": "1"},
        {"uid": True},
        {"uid": 1.0},
        {"uid": 0},
        {"uid": -1},
        {"uid": 2**31},
        {"uid": 10**100},
        {"uid": [1]},
        {"ver": 99},
        {"ver": True},
        {"ver": "1"},
        {"ver": 2**31},
        {"ver": 10**100},
        {"ver": -(10**100)},
    ],
    ids=str,
)
def test_claims_that_do_not_fit_an_account_are_refused(
    anonymous: Caller, make: Factory, changes: dict[str, Any]
) -> None:
    refused(me(anonymous, f"Bearer {signed(claims_of(make.user(), **changes))}"))


@pytest.mark.parametrize("claims", [[], "text", 7, None])
def test_claims_that_are_no_object_are_refused(anonymous: Caller, claims: Any) -> None:
    refused(me(anonymous, f"Bearer {signed(claims)}"))


def test_another_key_or_algorithm_is_refused(anonymous: Caller, make: Factory) -> None:
    claims = claims_of(make.user())
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    head, body, _ = signed(claims, alg="none").split(".")
    forgeries = {
        "another key": signed(claims, key="another-key-0123456789-abcdefghijklmnopq"),
        "no key": signed(claims, key=""),
        "alg none": f"{head}.{body}.",
        "alg none, signed": signed(claims, alg="none"),
        "HS512 with our key": signed(claims, alg="HS512", digest=hashlib.sha512),
        "RS256 in name only": signed(claims, alg="RS256"),
        "RS256 with a foreign key": jwt.encode(claims, pem, algorithm="RS256"),
        "an algorithm that is a number": signed(claims, alg=7),  # type: ignore[arg-type]
    }
    for forgery in forgeries.values():
        refused(me(anonymous, f"Bearer {forgery}"))


def test_an_encrypted_token_is_refused_before_it_is_unpacked(anonymous: Caller) -> None:
    # It would become a hundred megabytes.
    bomb = jwe.encrypt(b"0" * 100_000_000, SECRET[:32], algorithm="dir", encryption="A256GCM", zip="DEF")
    began = time.process_time()
    refused(me(anonymous, f"Bearer {bomb[:60_000].decode()}"))
    refused(me(anonymous, f"Bearer {bomb.decode()}"))
    assert time.process_time() - began < 1


def test_a_tampered_payload_is_refused(anonymous: Caller, make: Factory) -> None:
    user, victim = make.user(), make.admin()
    head, _, signature = signed(claims_of(user)).split(".")
    body = segment(json.dumps(claims_of(victim)).encode())
    refused(me(anonymous, f"Bearer {head}.{body}.{signature}"))


NESTED = segment(b'{"alg":' + b"[" * 20_000 + b"]" * 20_000 + b"}")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YW5hOnNlY3JldA==",
        "Token abc",
        "Bearer a b c",
        "Bearer nonsense",
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer a.b.c.d",
        f"Bearer {segment(b'[]')}.{segment(b'{}')}.",
        f"Bearer {segment(bytes([255, 254]))}.{segment(b'{}')}.",
        f"Bearer {NESTED}.{segment(b'{}')}.",
        "Bearer " + "9" * 8_000,
    ],
    ids=lambda value: value[:24],
)
@pytest.mark.parametrize("path", ["/users/me", "/events"])
def test_a_header_that_holds_no_token_of_ours_is_refused_on_every_route(
    anonymous: Caller, path: str, authorization: str
) -> None:
    refused(anonymous.get(path, headers={"Authorization": authorization}))


def test_bytes_that_are_no_text_in_the_header_are_refused(anonymous: Caller) -> None:
    refused(anonymous.get("/users/me", headers={"Authorization": b"Bearer \xff\xfe.\xe9.\xf1"}))


def test_a_route_without_a_token_where_one_is_needed_says_so(anonymous: Caller) -> None:
    response = anonymous.get("/users/me")
    refused(response)
    assert response.json()["title"] == "Sign in first"


def test_a_token_ends_with_its_account(
    anonymous: Caller, make: Factory, db: Database, signed_in: Callable[[User], Caller]
) -> None:
    gone, off = make.user(), make.user()
    for user in (gone, off):
        assert signed_in(user).get("/users/me").status_code == 200
    callers = [signed_in(gone), signed_in(off)]
    db.delete(gone)
    off.is_active = False
    db.commit()
    for caller in callers:
        refused(caller.get("/users/me"))
        refused(caller.get("/events"))


def test_a_freed_address_never_inherits_a_token(
    anonymous: Caller, make: Factory, signed_in: Callable[[User], Caller]
) -> None:
    admin = make.user(email="ana@example.com", role=Role.ADMIN)
    old = signed_in(admin)
    moved = old.patch("/users/me", json={"email": "new@example.com", "current_password": PASSWORD})
    assert moved.status_code == 200
    assert sign_up(anonymous, "ana@example.com").status_code == 201
    refused(old.get("/users/me"))


# Over a real server, where an answer can overtake its commit


@contextmanager
def served(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve an application on a free port, and yield a client for it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}{PREFIX}") as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_an_account_answered_with_201_is_committed(live: Store, live_url: str) -> None:
    app = create_app(
        Settings(
            _env_file=None, database_url=live_url, secret_key=SECRET, log_level="WARNING", hashing_threads=2
        )
    )
    with served(app) as client, live.engine.connect() as witness:
        for number in range(10):
            body = {"email": f"person{number}@example.com", "password": PASSWORD}
            response = client.post("/auth/register", json=body)
            seen = witness.scalar(text("SELECT count(*) FROM users WHERE email = :email"), body)
            witness.rollback()
            assert (response.status_code, seen) == (201, 1)
            assert client.post("/auth/login", json=body).status_code == 200


def test_two_people_signing_up_with_one_address_at_once_make_one_account(live: Store, live_url: str) -> None:
    app = create_app(Settings(_env_file=None, database_url=live_url, secret_key=SECRET, log_level="WARNING"))
    body = {"email": "ana@example.com", "password": PASSWORD}
    statuses: list[int] = []
    with served(app) as client:
        together = threading.Barrier(6)

        def enter() -> None:
            together.wait()
            statuses.append(client.post("/auth/register", json=body).status_code)

        people = [threading.Thread(target=enter) for _ in range(6)]
        for person in people:
            person.start()
        for person in people:
            person.join()
    assert sorted(statuses) == [201, 409, 409, 409, 409, 409]
    with live.engine.connect() as witness:
        assert witness.scalar(text("SELECT count(*) FROM users")) == 1
