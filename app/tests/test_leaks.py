"""What has nowhere to live here: leaks, forged addresses, fetches, files, and fields that nobody offered."""

import ast
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from app.api import create_app
from app.core.settings import PROJECT, Settings
from app.schemas.fields import Output
from app.tests.conftest import PREFIX, SECRET, Caller
from app.tests.factories import PASSWORD, Factory
from app.tests.routers.conftest import SignedIn

SOURCES = [path for path in sorted((PROJECT / "app").rglob("*.py")) if "tests" not in path.parts]
STATEMENT = "SELECT the_inner_text FROM a_table"

# What could ask another machine for something. Python's own is there, because segno brings xml.sax along.
FETCHERS = {"aiohttp", "ftplib", "httpx", "httpx2", "requests", "smtplib", "urllib3"}
PYTHONS_OWN = {"http.client", "urllib", "urllib.request"}


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path.relative_to(PROJECT), node


# Logs and answers


def test_a_secret_in_the_log_does_not_go_unseen(leaks: list[str]) -> None:
    """Show that the search through the log of every test finds what it looks for."""
    logger = logging.getLogger("app.talk")
    logger.debug("somebody sent %s", PASSWORD)
    logger.info("harmless", extra={"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"})
    logger.error("harmless too", exc_info=RuntimeError(SECRET))
    logger.warning("nothing at all")
    assert len(leaks) == 3
    leaks.clear()


FAILURES = [
    RuntimeError("the inner text"),
    IntegrityError(STATEMENT, {"password": PASSWORD}, Exception("the inner text")),
    ProgrammingError(STATEMENT, {"password": PASSWORD}, Exception("the inner text")),
    DataError(STATEMENT, {"password": PASSWORD}, Exception("the inner text")),
    OperationalError(STATEMENT, {"password": PASSWORD}, Exception("the inner text")),
    RecursionError("the inner text"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_shows_no_trace_no_statement_and_no_version(failure: Exception, leaks: list[str]) -> None:
    settings = Settings(_env_file=None, database_url="postgresql://x@127.0.0.1:9/x", secret_key=SECRET)
    app = create_app(settings)

    async def fail() -> None:
        raise failure

    app.add_api_route("/fail", fail)
    answer = TestClient(app).get("/fail")
    # What is made up here to be logged is found in the log; it must not be in the answer.
    leaks.clear()
    assert answer.status_code in {500, 503}
    assert sorted(answer.json()) == ["detail", "request_id", "status", "title", "type"]
    said = f"{answer.text} {answer.headers}"
    assert re.findall(r"inner|SELECT|a_table|Traceback|\.py|sqlalchemy|psycopg|\d+\.\d+\.\d+", said) == []
    assert {"server", "x-powered-by"} & set(answer.headers) == set()


def test_no_answer_has_a_field_for_a_password_a_hash_or_a_key() -> None:
    shown = [
        f"{kind.__name__}.{name}"
        for kind in subclasses(Output)
        for name in kind.model_fields
        if re.search(r"password|hash|digest|secret|token_version", name)
    ]
    assert shown == []


def test_no_answer_sets_a_cookie(anonymous: Caller, make: Factory) -> None:
    make.user(email="ana@example.com")
    answer = anonymous.post("/auth/login", json={"email": "ana@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert [
        path for path, node in trees() if isinstance(node, ast.Attribute) and node.attr == "set_cookie"
    ] == []


def test_what_a_stranger_brings_is_never_compared_with_a_secret_letter_by_letter() -> None:
    """A comparison that stops at the first difference tells by its time how much was right."""
    secret = re.compile(r"\b\w*(password|secret|signature|token|hash)$")
    compared = [
        f"{path}: {ast.unparse(node)}"
        for path, node in trees()
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and any(secret.search(ast.unparse(side)) for side in (node.left, *node.comparators))
    ]
    # Both are hashes that are kept here, and it is PostgreSQL that compares them.
    assert compared == ["app/crud/users.py: User.password_hash == user.password_hash"]


# Fields


def properties(document: dict[str, Any], schema: dict[str, Any], seen: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield each object that a schema lets in, with what it says of further fields."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in seen:
            return
        seen.add(name)
        schema = document["components"]["schemas"][name]
        if schema.get("type") == "object":
            yield name, schema.get("additionalProperties")
    for inner in [*schema.get("properties", {}).values(), *schema.get("anyOf", []), schema.get("items")]:
        if inner:
            yield from properties(document, inner, seen)


def test_no_body_lets_a_field_in_that_is_not_offered(app: FastAPI) -> None:
    document = app.openapi()
    seen: set[str] = set()
    found = {
        name: further
        for item in document["paths"].values()
        for operation in item.values()
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        if media_type == "application/json"
        for name, further in properties(document, content["schema"], seen)
    }
    assert len(found) > 15
    assert {name: further for name, further in found.items() if further is not False} == {}


# Addresses


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "//evil.example/",
        "/\\evil.example/",
        "/%2f%2fevil.example/",
        "/%5cevil.example/",
        "/https://evil.example/",
        f"{PREFIX}/events//evil.example/",
        f"{PREFIX}/events/?next=//evil.example",
        "/docs/oauth2-redirect/?redirect_uri=//evil.example",
        "/docs/assets//evil.example/",
        "/docs/assets",
    ],
)
def test_nothing_redirects(running_app: TestClient, connection: object, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = running_app.request(method, f"http://testserver{path}", follow_redirects=False)
        assert not 300 <= answer.status_code < 400
        assert "location" not in answer.headers


def test_only_an_address_of_our_own_making_becomes_a_location() -> None:
    naming = {
        str(path) for path, node in trees() if isinstance(node, ast.Constant) and node.value == "Location"
    }
    assert naming == {
        "app/api.py",
        *(f"app/dependencies/{name}.py" for name in ("paths", "idempotency", "views")),
    }
    redirecting = {
        str(path) for path, node in trees() if isinstance(node, ast.Name) and "Redirect" in node.id
    }
    assert redirecting == set()


FORGED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Original-URL": "/api/v1/users",
    "X-HTTP-Method-Override": "DELETE",
    "Forwarded": "host=evil.example;proto=gopher",
}


def test_addresses_are_written_under_the_name_that_was_asked_and_no_other(
    make: Factory, signed_in: SignedIn
) -> None:
    owner = make.user()
    event, caller = make.event(owner), signed_in(owner)
    made = caller.post("/rooms", json={"event_id": event.id, "name": "A"}, headers=FORGED)
    assert made.status_code == 201
    feed = caller.post("/users/me/calendar", headers=FORGED)
    assert feed.json()["url"].startswith(f"http://testserver{PREFIX}/calendars/")
    schedule = caller.get(f"/events/{event.id}/schedule.json", headers=FORGED).json()["schedule"]
    assert schedule["base_url"] == "http://testserver/"
    assert schedule["conference"]["url"] == f"http://testserver{PREFIX}/events/{event.id}"
    times = {"start_at": event.start_at.isoformat(), "end_at": event.end_at.isoformat()}
    session = caller.post("/sessions", json={"event_id": event.id, "title": "T", **times}, headers=FORGED)
    assert session.headers["location"] == f"{PREFIX}/sessions/{session.json()['id']}"


def test_no_address_is_written_under_a_name_that_is_not_ours(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"allow_hosts": ["api.example.com"]}))
    for host in ("evil.example", "api.example.com.evil.example", "api.example.com@evil.example", ""):
        answer = TestClient(app).post(f"{PREFIX}/users/me/calendar", headers={"Host": host})
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/untrusted-host")


def test_what_somebody_wrote_is_in_no_header(make: Factory, signed_in: SignedIn) -> None:
    owner = make.user(full_name='x"\r\nSet-Cookie: a=b')
    event = make.event(owner, name='x"\r\nSet-Cookie: a=b', venue="\r\n\r\n<script>")
    for path in ("", "/registrations.csv", "/calendar.ics", "/schedule.json", "/schedule.xml"):
        answer = signed_in(owner).get(f"/events/{event.id}{path}")
        assert answer.status_code == 200
        assert [value for value in answer.headers.values() if "a=b" in value or "script" in value] == []
    export = signed_in(owner).get(f"/events/{event.id}/registrations.csv")
    assert export.headers["content-disposition"] == f'attachment; filename="registrations-{event.id}.csv"'


# Fetches and files


def test_the_service_has_nothing_to_fetch_with() -> None:
    imported = f"import sys, app.main; print(sorted({FETCHERS!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", imported], check=True, capture_output=True, text=True)
    assert ran.stdout == "[]\n"
    by_us = {
        name
        for path in SOURCES
        for name in re.findall(r"^ *(?:from|import) ([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert by_us & (FETCHERS | PYTHONS_OWN) == set()


@pytest.mark.parametrize(
    "path",
    [
        "/docs/assets/../__init__.py",
        "/docs/assets/%2e%2e/__init__.py",
        "/docs/assets/..%2f__init__.py",
        "/docs/assets/..%5c__init__.py",
        "/docs/assets/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/docs/assets//etc/passwd",
        "/docs/assets/%2fetc%2fpasswd",
        "/docs/assets/%00",
        "/docs/assets/swagger-ui.css%00.py",
        f"{PREFIX}/calendars/../../../../etc/passwd.ics",
        f"{PREFIX}/calendars/..%2f..%2fetc%2fpasswd.ics",
    ],
)
def test_no_path_leads_to_a_file_that_is_not_served(
    running_app: TestClient, connection: object, path: str
) -> None:
    answer = running_app.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
