"""What every request passes through."""

import gzip
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from app.api import create_app
from app.core.exceptions import InternalError
from app.core.logging import configure_logging
from app.core.settings import Settings
from app.tests.conftest import SECRET
from app.tests.factories import PASSWORD

INNER = "the inner text of a failure"
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
OURS, FOREIGN = "http://localhost:5173", "https://elsewhere.example"


@pytest.fixture
def quiet_again(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Give the log back to the other tests as it was."""
    yield
    with capsys.disabled():
        configure_logging(level="WARNING", style="text")


def application(**settings: Any) -> FastAPI:
    """Put together an application with routes of its own: some that fail, one that says a lot."""
    unreachable = "postgresql://nobody@127.0.0.1:9/nowhere"
    options = {"database_url": unreachable, "secret_key": SECRET, "log_level": "INFO", **settings}
    app = create_app(Settings(_env_file=None, **options))

    async def fail() -> None:
        raise RuntimeError(INNER)

    async def break_off() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "the first half"
            raise RuntimeError(INNER)

        return StreamingResponse(chunks())

    async def talk(length: int) -> str:
        logging.getLogger("app.talk").info("a line from within")
        return "x" * length

    app.add_api_route("/fail/{secret}", fail)
    app.add_api_route("/break-off", break_off)
    app.add_api_route("/talk/{length}", talk)
    return app


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Call that application as it is by default."""
    return TestClient(application(log_level="ERROR"))


# One answer of each kind, whoever makes it
ANSWERS: dict[str, tuple[Callable[[TestClient], Any], int]] = {
    "a route": (lambda client: client.get("/health/live"), 200),
    "a page of the docs' files": (lambda client: client.get("/docs/assets/favicon.png"), 200),
    "no such address": (lambda client: client.get("/nothing"), 404),
    "no such method": (lambda client: client.put("/health/live"), 405),
    "no token": (lambda client: client.get("/api/v1/users/me"), 401),
    "bad input": (lambda client: client.get("/talk/much"), 422),
    "too large": (lambda client: client.post("/nothing", content=b"x" * 2_000_000), 413),
    "a failure": (lambda client: client.get("/fail/7"), 500),
    "a preflight": (
        lambda client: client.options(
            "/api/v1/events", headers={"Origin": OURS, "Access-Control-Request-Method": "PATCH"}
        ),
        200,
    ),
    "a foreign preflight": (
        lambda client: client.options(
            "/api/v1/events", headers={"Origin": FOREIGN, "Access-Control-Request-Method": "PATCH"}
        ),
        400,
    ),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_carries_an_id_and_the_security_headers_once(client: TestClient, kind: str) -> None:
    ask, status = ANSWERS[kind]
    answer = ask(client)
    assert answer.status_code == status
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert {name: answer.headers.get_list(name) for name in SECURITY} == {
        name: [value] for name, value in SECURITY.items()
    }


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 128, "4f7c1e0b-9a2d-4c6f-8e1b-3d5a7c9e0f12"])
@pytest.mark.parametrize("path", ["/health/live", "/nothing", "/fail/7"])
def test_a_well_formed_request_id_is_kept(client: TestClient, path: str, given: str) -> None:
    answer = client.get(path, headers={"X-Request-ID": given})
    assert answer.headers.get_list("x-request-id") == [given]
    assert answer.json().get("request_id", given) == given


@pytest.mark.parametrize(
    "given", ["", " ", "x" * 129, "a b", "a\tb", "<script>", "a;b", "\xe9", "a\\nb", "a,b"]
)
def test_any_other_request_id_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/nothing", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_no_two_requests_share_an_id(client: TestClient) -> None:
    assert len({client.get("/health/live").headers["x-request-id"] for _ in range(20)}) == 20


def test_a_failure_shows_nothing_inner_and_is_logged_under_its_id(
    quiet_again: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = TestClient(application()).get("/fail/a-secret", headers={"X-Request-ID": "find-me"})
    logged = capsys.readouterr().err
    assert answer.json() == {
        "type": "/problems/internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": InternalError.default_detail,
        "request_id": "find-me",
    }
    assert answer.headers["content-type"] == "application/problem+json"
    assert " ERROR   [find-me] app.core.middleware: unexpected failure\n" in logged
    assert f"RuntimeError: {INNER}\n" in logged
    assert logged.count("[find-me] app.access: GET /fail/{secret} 500 ") == 1


def test_an_answer_that_fails_half_way_is_broken_off_and_not_mended(
    quiet_again: None, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(application())
    with pytest.raises(RuntimeError, match=INNER):
        client.get("/break-off", headers={"X-Request-ID": "find-me"})
    assert capsys.readouterr().err.count("[find-me] app.access: GET /break-off 200 ") == 1


# What may be kept


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_says_nothing_of_caches_is_kept_by_none(client: TestClient, kind: str) -> None:
    ask, _ = ANSWERS[kind]
    kept = ["no-store"] if kind != "a page of the docs' files" else []
    assert ask(client).headers.get_list("cache-control") == kept


# Cross-origin requests


def test_a_frontend_on_localhost_is_let_in(client: TestClient) -> None:
    answer = client.get("/api/v1/users/me", headers={"Origin": OURS})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == OURS
    assert answer.headers["vary"] == "Origin"
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert exposed == ["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]


@pytest.mark.parametrize("path", ["/nothing", "/fail/7"])
def test_a_frontend_can_read_why_it_was_refused(client: TestClient, path: str) -> None:
    assert client.get(path, headers={"Origin": OURS}).headers["access-control-allow-origin"] == OURS


def test_a_preflight_from_localhost_allows_the_methods_and_headers_asked_for(client: TestClient) -> None:
    asked = {
        "Origin": OURS,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, content-type, if-match, idempotency-key",
    }
    answer = client.options("/api/v1/events/1", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, OURS)
    methods = set(answer.headers["access-control-allow-methods"].split(", "))
    assert methods >= {"GET", "POST", "PATCH", "DELETE"}
    assert answer.headers["access-control-allow-headers"] == asked["Access-Control-Request-Headers"]


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "http://localhost:5174", "https://localhost:5173", f"{OURS}.evil.example"]
)
def test_a_foreign_page_is_not_let_in(client: TestClient, origin: str) -> None:
    simple = client.get("/health/live", headers={"Origin": origin})
    preflight = client.options(
        "/api/v1/events", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )
    assert (simple.status_code, preflight.status_code) == (200, 400)
    for answer in (simple, preflight):
        assert "access-control-allow-origin" not in answer.headers


# Compression


@pytest.mark.parametrize(("length", "encoding"), [(100, None), (5_000, "gzip")])
def test_long_answers_are_compressed_for_those_who_can_read_it(
    client: TestClient, length: int, encoding: str | None
) -> None:
    answer = client.get(f"/talk/{length}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.json() == "x" * length
    plain = client.get(f"/talk/{length}", headers={"Accept-Encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.json()) == (False, "x" * length)


def test_a_compressed_body_is_not_unpacked_and_merely_refused(quiet_again: None) -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    assert len(bomb) < 1_000_000
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    with TestClient(application(env="prod")) as running:
        answer = running.post("/api/v1/auth/login", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")


# Hosts


@pytest.mark.parametrize(
    ("allowed", "host", "answered"),
    [
        (["*"], "anything.example", True),
        (["api.example.com"], "api.example.com", True),
        (["api.example.com"], "API.Example.com", True),
        (["API.example.com"], "api.example.com", True),
        (["api.example.com"], "api.example.com:8443", True),
        (["api.example.com"], "api.example.com:", True),
        (["api.example.com"], "example.com", False),
        (["api.example.com"], "api.example.com.evil.example", False),
        (["api.example.com"], "evil.example:api.example.com", False),
        (["api.example.com"], "", False),
        (["*.example.com"], "api.example.com", True),
        (["*.example.com"], "a.b.example.com:80", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "evilexample.com", False),
        (["::1", "[::1]"], "[::1]", True),
        (["[::1]"], "[::1]:8000", True),
        (["127.0.0.1"], "127.0.0.1:8000", True),
        ([], "localhost", False),
    ],
)
def test_a_host_is_answered_for_if_it_is_named(
    quiet_again: None,
    allowed: list[str],
    host: str,
    answered: bool,  # noqa: FBT001
) -> None:
    client = TestClient(application(allow_hosts=allowed))
    answer = client.get("/talk/1", headers={"Host": host})
    assert answer.status_code == (200 if answered else 400)
    if not answered:
        assert answer.json()["type"] == "/problems/untrusted-host"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert client.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/health/../talk/1", "/health/x/../../talk/1", "/health"])
def test_only_health_itself_is_answered_under_any_host(quiet_again: None, path: str) -> None:
    client = TestClient(application(allow_hosts=["api.example.com"]))
    assert client.get(path, headers={"Host": "evil.example"}).status_code in {400, 404}


# Bodies


@pytest.mark.parametrize(("size", "status"), [(1_048_576, 404), (1_048_577, 413)])
def test_a_body_is_let_through_up_to_its_limit(client: TestClient, size: int, status: int) -> None:
    assert client.post("/nothing", content=b"x" * size).status_code == status


def test_a_body_whose_length_is_a_lie_is_counted_as_it_comes(quiet_again: None) -> None:
    body = {"email": "ana@example.com", "password": PASSWORD, "full_name": "x" * 2_000_000}
    with TestClient(application(env="prod")) as running:
        answer = running.post("/api/v1/auth/register", json=body, headers={"Content-Length": "10"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/content-too-large")


def test_only_requests_are_looked_at(client: TestClient) -> None:
    """A WebSocket is refused by the application itself, not by a failure on the way."""
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/nothing"):
        raise AssertionError
