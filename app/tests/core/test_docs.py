"""Swagger UI and ReDoc with no internet, under a policy that runs the page's own script only."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api import schema
from app.tests.rush import Server, serving

PAGES = ["/docs", "/redoc", "/docs/oauth2-redirect"]


class Page(HTMLParser):
    """What a page loads, and the scripts that stand in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self._inline = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        address = named.get("src") or (named.get("href") if tag == "link" else None)
        if address:
            self.loads.append(address)
        self._inline = tag == "script" and "src" not in named

    def handle_data(self, data: str) -> None:
        if self._inline:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inline = self._inline and tag != "script"


def shown(client: TestClient, path: str) -> tuple[Any, Page]:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer, Page(answer.text)


def directives(answer: Any) -> dict[str, list[str]]:
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    return {name: values for name, *values in parts}


@pytest.mark.parametrize(("path", "files"), [("/docs", 3), ("/redoc", 2), ("/docs/oauth2-redirect", 0)])
def test_a_page_loads_nothing_from_elsewhere(running_app: TestClient, path: str, files: int) -> None:
    _, page = shown(running_app, path)
    assert len(page.loads) == files
    assert [address for address in page.loads if not address.startswith("/docs/assets/")] == []
    for address in page.loads:
        asset = running_app.get(address)
        assert (asset.status_code, len(asset.content) > 100) == (200, True)
        assert asset.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_the_page_itself_names_no_address_elsewhere(running_app: TestClient, path: str) -> None:
    answer, _ = shown(running_app, path)
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", re.sub(r"<a [^>]*>", "", answer.text)) == []


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_lets_exactly_the_pages_own_script_run(running_app: TestClient, path: str) -> None:
    answer, page = shown(running_app, path)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in page.scripts
    ]
    policy = directives(answer)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'", *hashes]
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    assert policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert len(hashes) == (0 if path == "/redoc" else 1)


needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None and os.environ.get("CI") != "true",
    reason="chromium is not on PATH: run scripts/install-system-packages chromium",
)


@pytest.fixture(scope="module")
def server(live_url: str) -> Iterator[Server]:
    with serving(live_url, workers=1) as server:
        yield server


def rendered(server: Server, path: str, profile: Path) -> tuple[str, list[str]]:
    """Open a page in a browser, and return it as its scripts have made it, with what they complained of."""
    browser = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--enable-logging=stderr"),
            *("--dump-dom", f"http://127.0.0.1:{server.port}{path}"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return browser.stdout, re.findall(r'CONSOLE:\d+\] "(.*)", source:', browser.stderr)


def operations() -> set[str]:
    return {call["operationId"] for path in schema()["paths"].values() for call in path.values()}


@needs_chromium
def test_swagger_ui_works_in_a_browser_under_its_policy(server: Server, tmp_path: Path) -> None:
    page, complaints = rendered(server, "/docs", tmp_path)
    assert set(re.findall(r'id="operations-(?!tag-)\w+-(\w+)"', page)) == operations()
    assert complaints == []


@needs_chromium
def test_redoc_works_in_a_browser_and_reaches_nothing_elsewhere(server: Server, tmp_path: Path) -> None:
    page, complaints = rendered(server, "/redoc", tmp_path)
    assert set(re.findall(r'id="tag/\w+/operation/(\w+)"', page)) == operations()
    # Its maker's logo, from its maker's server: the policy holds.
    assert [complaint.split("'")[1] for complaint in complaints] == [
        "https://cdn.redoc.ly/redoc/logo-mini.svg"
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_the_same_every_time_whoever_asked_before(running_app: TestClient, path: str) -> None:
    plain = {"Accept-Encoding": "identity"}
    first = running_app.get(path, headers=plain)
    running_app.get(path, headers={"Accept-Encoding": "gzip", "Origin": "http://localhost:5173"})
    again = running_app.get(path, headers=plain)
    changing = {"x-request-id", "ratelimit"}
    assert again.content == first.content
    assert [item for item in again.headers.multi_items() if item[0] not in changing] == [
        item for item in first.headers.multi_items() if item[0] not in changing
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asked_for_with_a_trailing_slash_is_the_same_under_the_same_policy(
    running_app: TestClient, path: str
) -> None:
    plain, slashed = running_app.get(path), running_app.get(path + "/")
    assert slashed.text == plain.text
    assert slashed.headers["content-security-policy"] == plain.headers["content-security-policy"]


def test_swagger_ui_shows_this_services_own_document(running_app: TestClient) -> None:
    answer, _ = shown(running_app, "/docs")
    assert re.findall(r"url: '([^']+)'", answer.text) == ["/openapi.json"]
    assert "'/docs/oauth2-redirect'" in answer.text
    assert running_app.get("/openapi.json").json()["info"]["title"] == "Mis Eventos"


def test_the_authorize_dialog_posts_to_the_form_that_signs_in(running_app: TestClient) -> None:
    document = running_app.get("/openapi.json").json()
    flow = document["components"]["securitySchemes"]["Account"]["flows"]["password"]
    operation = document["paths"][flow["tokenUrl"]]["post"]
    assert operation["operationId"] == "sign_in_with_form"
    assert list(operation["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]


@pytest.mark.parametrize(
    "path", ["/docs/assets/../__init__.py", "/docs/assets/%2e%2e/__init__.py", "/docs/assets/nothing.js"]
)
def test_only_the_kept_files_are_served(running_app: TestClient, path: str) -> None:
    answer = running_app.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
