"""One line a request, under its id, with no secret in it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from app.core.logging import configure_logging
from app.core.settings import PROJECT
from app.tests.conftest import PREFIX, SECRET
from app.tests.core.test_middleware import application

URL_SECRET = "a-secret-in-the-address"


@pytest.fixture(autouse=True)
def quiet_again(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Give the log back to the other tests as it was."""
    yield
    with capsys.disabled():
        configure_logging(level="WARNING", style="text")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was logged, without what the tests' own client says."""
    return [line for line in capsys.readouterr().err.splitlines() if "httpx" not in line]


def test_in_json_every_line_of_a_request_carries_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    client = TestClient(application(log_format="json"))
    client.get("/talk/7", headers={"X-Request-ID": "find-me"})
    within, access = map(json.loads, lines(capsys))
    assert {**within, "at": ""} == {
        "at": "",
        "level": "INFO",
        "logger": "app.talk",
        "request_id": "find-me",
        "message": "a line from within",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", within["at"])
    spent = access["duration_ms"]
    assert {**access, "at": ""} == {
        "at": "",
        "level": "INFO",
        "logger": "app.access",
        "request_id": "find-me",
        "message": f"GET /talk/{{length}} 200 {spent}ms",
        "method": "GET",
        "route": "/talk/{length}",
        "status": 200,
        "duration_ms": spent,
    }


def test_in_text_every_line_of_a_request_carries_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    client = TestClient(application(log_format="text"))
    client.get("/talk/7", headers={"X-Request-ID": "find-me"})
    within, access = (line.split(" ", 2)[2] for line in lines(capsys))
    assert within == "INFO    [find-me] app.talk: a line from within"
    assert re.fullmatch(r"INFO    \[find-me\] app\.access: GET /talk/\{length\} 200 \d+\.\dms", access)


def test_a_failure_in_json_is_one_line_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    client = TestClient(application(log_format="json"))
    client.get(f"/fail/{URL_SECRET}", headers={"X-Request-ID": "find-me"})
    failure, access = map(json.loads, lines(capsys))
    assert (failure["level"], failure["request_id"]) == ("ERROR", "find-me")
    assert failure["exc_info"].endswith("RuntimeError: the inner text of a failure")
    assert (access["status"], access["request_id"]) == (500, "find-me")


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/health/live", "/health/live", 200),
        ("GET", f"{PREFIX}/users/me", f"{PREFIX}/users/me", 401),
        ("PATCH", f"{PREFIX}/events/{URL_SECRET}", f"{PREFIX}/events/{{event_id}}", 401),
        ("GET", f"{PREFIX}/users/me/?token={URL_SECRET}", f"{PREFIX}/users/me", 401),
        ("GET", f"{PREFIX}/events/{URL_SECRET}/team", f"{PREFIX}/events/{{event_id}}/team", 401),
        ("POST", f"/talk/{URL_SECRET}", "/talk/{length}", 405),
        ("GET", f"/fail/{URL_SECRET}", "/fail/{secret}", 500),
        ("GET", f"/nothing/{URL_SECRET}", "(no route)", 404),
        ("GET", f"{PREFIX}/nothing/{URL_SECRET}", "(no route)", 404),
        ("GET", f"/docs/assets/{URL_SECRET}", "(no route)", 404),
    ],
)
def test_the_access_log_shows_the_routes_template_and_not_the_address(
    capsys: pytest.CaptureFixture[str], method: str, path: str, route: str, status: int
) -> None:
    TestClient(application(log_format="json", env="prod")).request(method, path)
    logged = lines(capsys)
    access = json.loads(logged[-1])
    assert (access["method"], access["route"], access["status"]) == (method, route, status)
    assert [line for line in logged if URL_SECRET in line] == []


def test_a_quiet_log_has_no_access_lines(capsys: pytest.CaptureFixture[str]) -> None:
    TestClient(application(log_level="WARNING")).get("/health/live")
    assert lines(capsys) == []


# With secrets planted, on a server of its own, at its most talkative

PASSWORDS = [
    "planted-first-password",
    "planted-second-password",
    "planted-wrong-password",
    "planted\\u0000nul",
]


@contextmanager
def served(log: Path, **variables: str) -> Iterator[httpx.Client]:
    """Start the application as an operator does, with its log in a file, and yield a client for it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"],
            cwd=PROJECT,
            env={**os.environ, **variables},
            stdout=output,
            stderr=output,
        )
    try:
        while not (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        with httpx.Client(base_url=found[1] + PREFIX) as client:
            yield client
    finally:
        process.terminate()
        assert process.wait(timeout=20) in {0, -15}


def test_no_password_and_no_token_is_in_the_log_even_when_debugging(
    live_url: str, live: object, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    of_database = make_url(live_url).password
    variables = {
        "DATABASE_URL": live_url,
        "SECRET_KEY": SECRET,
        "DEBUG": "true",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
    }
    first, second, wrong, nul = PASSWORDS
    with served(log, **variables) as client:
        made = client.post("/auth/register", json={"email": "ana@example.com", "password": first})
        assert made.status_code == 201
        tokens = [made.json()["access_token"]]
        headers = {"Authorization": f"Bearer {tokens[0]}"}
        for password in (wrong, wrong * 10):
            client.post("/auth/login", json={"email": "ana@example.com", "password": password})
            client.post("/auth/token", data={"username": "ana@example.com", "password": password})
        client.post("/auth/login", content=f'{{"email": "x", "password": "{nul}"}}', headers=headers)
        client.post("/auth/login", content=f'{{"password": "{first}"')
        refreshed = client.post("/auth/refresh", json={"refresh_token": made.json()["refresh_token"]})
        secrets = [made.json()["refresh_token"], refreshed.json()["refresh_token"]]
        key = client.post("/users/me/api-keys", json={"name": "Key", "scopes": ["read"]}, headers=headers)
        secrets.append(key.json()["key"])
        for secret in secrets:
            client.get("/users/me", headers={"Authorization": f"Bearer {secret}"})
            client.get("/users/me", params={"token": secret})
            client.post("/auth/refresh", json={"refresh_token": secret})
        again = client.post("/auth/login", json={"email": "ana@example.com", "password": first})
        headers = {"Authorization": f"Bearer {again.json()['access_token']}"}
        change = {"password": second, "current_password": first}
        changed = client.patch("/users/me", json=change, headers=headers)
        assert changed.status_code == 200
        tokens.append(changed.json()["token"]["access_token"])
        assert client.patch("/users/me", json=change, headers=headers).status_code == 401
        assert client.get("/users/me", params={"token": tokens[1]}, headers=headers).status_code == 401
        client.get(f"/nothing/{tokens[1]}", headers={"Authorization": f"Basic {wrong}"})
    said = log.read_text()
    planted = [*PASSWORDS, *tokens, *secrets, SECRET, "$argon2id$", *([of_database] if of_database else [])]
    assert [secret for secret in planted if secret in said] == []
    assert "planted" not in said
    # The log did speak of all that: of the statement that stored the hash and of the requests.
    assert "INSERT INTO users" in said
    assert f"PATCH {PREFIX}/users/me 200" in said
    assert f"POST {PREFIX}/auth/token 401" in said
