import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import NullPool, create_engine, text

from app.api import create_app, schema
from app.core.database import Store
from app.core.settings import PROJECT, Settings
from app.tests.conftest import SECRET
from bench import load
from bench.audit import audit
from bench.cases import DETAIL, LIST, ME, PREFIX, REGISTER_FULL, REGISTER_MANY, WRITES, Case
from bench.data import World

# Bound by hashing, like signing up, which is measured.
HASHING = {"sign_in", "sign_in_with_form"}
CASES = (LIST, DETAIL, ME, REGISTER_MANY, REGISTER_FULL, *WRITES)
SMALL = World(people=12, events=3)

needs_wrk = pytest.mark.skipif(
    shutil.which("wrk") is None and os.environ.get("CI") != "true",
    reason="wrk is not on PATH: run scripts/install-system-packages wrk",
)


def test_every_route_that_writes_is_measured_by_its_own_method() -> None:
    offered = {
        (operation["operationId"], method.upper())
        for path in schema()["paths"].values()
        for method, operation in path.items()
        if method != "get" and operation["operationId"] not in HASHING
    }
    assert {(case.operation, case.method) for case in WRITES} == offered


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_the_requests_of_a_benchmark_are_served_one_after_the_other(
    case: Case, live: Store, live_url: str
) -> None:
    engine = create_engine(live_url, poolclass=NullPool)
    count = 2 * SMALL.events + 1  # so that every event has its turn, and a second and a third
    SMALL.fill(engine, case.more, count=count)
    app = create_app(Settings(_env_file=None, database_url=live_url, secret_key=SECRET, log_level="WARNING"))
    answered = []
    with TestClient(app) as client:
        for line in case.lines(SMALL, list(SMALL.tokens(app.state.tokens)), count):
            assert line.path.startswith(PREFIX)
            headers = {"Authorization": f"Bearer {line.token}"} if line.token else {}
            body = json.loads(line.body) if line.body else None
            answered.append(client.request(line.method, line.path, headers=headers, json=body).status_code)
    assert answered == [case.expected] * count


@needs_wrk
def test_the_benchmarks_run_and_serve_everything(server_url: str) -> None:
    words = [sys.executable, "-m", "bench", "--quick", "--database-url", server_url]
    run = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "register, spread" in run.stdout
    assert "200 confirmed" in run.stdout
    assert "searches that find what is meant" in run.stdout
    assert "ix_events_public_by_start" in run.stdout
    assert "a session moved" in run.stdout
    assert "a neighbour signs in" in run.stdout


class _Answering(BaseHTTPRequestHandler):
    """Answer /fine with 200 and anything else with 404, and keep the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/fine" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """Serve on loopback something that answers at once."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _run(folder: Path, *paths: str, cycles: bool = True) -> load.Run:
    lines = [load.Line("GET", path, "", "") for path in paths]
    requests = load.write(lines, folder / "requests")
    return load.Run(requests, clients=2, seconds=1, expected=200, cycles=cycles)


@needs_wrk
def test_a_run_counts_what_was_served(address: str, tmp_path: Path) -> None:
    assert load.drive(address, _run(tmp_path, "/fine")).per_second > 10


@needs_wrk
def test_a_run_goes_on_in_the_file_where_the_last_one_stopped(address: str, tmp_path: Path) -> None:
    many = _run(tmp_path, *["/nowhere"] * 5, *["/fine"] * 200_000, cycles=False)
    first = load.drive(address, replace(many, skipped=5))
    # wrk asks for the first request once more than it sends it.
    assert first.served < first.taken <= first.served + many.clients + 1
    with pytest.raises(load.BrokenRunError, match="2 requests were refused, the first with 404"):
        load.drive(address, replace(many, skipped=2))


@needs_wrk
def test_one_refused_request_breaks_a_run(address: str, tmp_path: Path) -> None:
    with pytest.raises(load.BrokenRunError, match="refused, the first with 404"):
        load.drive(address, _run(tmp_path, "/fine", "/fine", "/nowhere"))


@needs_wrk
def test_an_answer_that_turns_somebody_away_breaks_nothing_and_is_not_counted(
    address: str, tmp_path: Path
) -> None:
    many = ["/fine"] * 5 + ["/nowhere"] * 200_000
    # wrk asks for the first request once more than it sends it.
    assert load.drive(address, replace(_run(tmp_path, *many, cycles=False), turned_away=404)).served == 4


def test_a_breach_or_a_missing_registration_breaks_a_run(live: Store, live_url: str) -> None:
    engine = create_engine(live_url, poolclass=NullPool)
    SMALL.fill(engine, REGISTER_FULL.more)
    audit(engine, least=2, most=2)
    with pytest.raises(load.BrokenRunError, match="2 registrations where 3 to 4"):
        audit(engine, least=3, most=4)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE events SET confirmed_count = 1 WHERE id = 1"))
    with pytest.raises(load.BrokenRunError, match=": 1"):
        audit(engine, least=2, most=2)


@needs_wrk
def test_a_run_without_a_server_is_broken(tmp_path: Path) -> None:
    with pytest.raises(load.BrokenRunError):
        load.drive("http://127.0.0.1:9", _run(tmp_path, "/fine"))


@needs_wrk
def test_requests_that_may_be_sent_only_once_are_not_sent_again_in_silence(
    address: str, tmp_path: Path
) -> None:
    with pytest.raises(load.BrokenRunError, match="ran out"):
        load.drive(address, _run(tmp_path, "/fine", "/fine", cycles=False))


def test_the_load_is_for_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        load.drive("http://example.com", _run(tmp_path, "/fine"))
