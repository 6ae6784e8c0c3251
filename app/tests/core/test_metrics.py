"""What Prometheus is told: requests, batches, queues, and the same whichever worker is asked."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.api import VERSION, create_app
from app.core.database import Store
from app.core.settings import PROJECT, Settings
from app.tests.conftest import PREFIX, SECRET
from app.tests.rush import crowd, opened, until
from app.tests.test_cli import serving

ROUTE = PREFIX + "/registrations/events/{event_id}"
TOKEN = "only-for-prometheus-0123456789-abcdefg"

Figures = dict[tuple[str, tuple[str, ...]], float]


def figures(text: str) -> Figures:
    """Return each sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def client(live: Store, live_url: str) -> Iterator[TestClient]:
    settings = Settings(
        _env_file=None,
        database_url=live_url,
        secret_key=SECRET,
        log_level="WARNING",
        metrics_enabled=True,
        allow_hosts=["testserver"],
    )
    with TestClient(create_app(settings)) as client:
        yield client


def told(client: Any) -> Figures:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return figures(answer.text)


def test_each_request_is_counted_by_its_route_its_status_and_why_it_was_refused(
    client: TestClient, live: Store
) -> None:
    ana, luz = crowd(live, 2)
    event_id = opened(live, ana, 1)
    for person in (ana, luz, ana):
        client.post(
            f"{PREFIX}/registrations/events/{event_id}", headers={"Authorization": f"Bearer {person.token}"}
        )
    client.post(f"{PREFIX}/registrations/events/{event_id}")
    client.get(f"{PREFIX}/nothing/at-all")
    client.request("BREW", f"{PREFIX}/events")
    client.request("HEAD", f"{PREFIX}/events")
    seen = told(client)
    counted = {labels: value for (name, labels), value in seen.items() if name == "http_requests_total"}
    assert counted == {
        ("POST", "", ROUTE, "201"): 1,
        ("POST", "event-full", ROUTE, "409"): 1,
        ("POST", "already-registered", ROUTE, "409"): 1,
        ("POST", "unauthorized", ROUTE, "401"): 1,
        ("GET", "not-found", "(no route)", "404"): 1,
        ("other", "method-not-allowed", f"{PREFIX}/events", "405"): 1,
        ("HEAD", "", f"{PREFIX}/events", "200"): 1,
    }
    assert seen["http_request_duration_seconds_count", ("POST", ROUTE)] == 4
    assert seen["http_request_duration_seconds_bucket", ("+Inf", "POST", ROUTE)] == 4
    # The one that asks.
    assert seen["http_requests_in_flight", ()] == 1


def test_batches_looks_and_what_was_decided_are_counted(client: TestClient, live: Store) -> None:
    ana, luz = crowd(live, 2)
    event_id = opened(live, ana, 1, waitlist=True)
    for person in (ana, luz, ana):
        headers = {"Authorization": f"Bearer {person.token}"}
        client.post(f"{PREFIX}/registrations/events/{event_id}", headers=headers)
    client.get(f"{PREFIX}/events")
    seen = told(client)
    decided = {
        labels: value for (name, labels), value in seen.items() if name == "mis_eventos_decisions_total"
    }
    assert decided == {
        ("confirmed", "registrations"): 1,
        ("waitlisted", "registrations"): 1,
        ("already-registered", "registrations"): 1,
    }
    assert seen["mis_eventos_batch_size_count", ("registrations",)] == 3
    assert seen["mis_eventos_batch_size_sum", ("registrations",)] == 3
    assert seen["mis_eventos_batch_wait_seconds_count", ("registrations",)] == 3
    assert seen["mis_eventos_batch_size_count", ("seats",)] == 0
    assert (seen["mis_eventos_look_readers_count", ()], seen["mis_eventos_look_readers_sum", ()]) == (1, 1)


def test_what_waits_and_what_is_taken_is_told_as_it_is(client: TestClient) -> None:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    queues = ["database", "registrations", "seats", "reads", "passwords"]
    with store.engine.connect():
        seen = told(client)
    assert {name: seen["mis_eventos_waiting", (name,)] for name in queues} == dict.fromkeys(queues, 0)
    assert seen["mis_eventos_connections_in_use", ()] == 1
    assert told(client)["mis_eventos_connections_in_use", ()] == 0


def test_the_build_is_named_and_nothing_else_of_the_process(client: TestClient) -> None:
    seen = told(client)
    assert [labels[1] for name, labels in seen if name == "mis_eventos_build_info"] == [VERSION]
    families = {re.sub("_(total|bucket|count|sum)$", "", name) for name, _ in seen}
    assert families == {
        "http_requests_in_flight",
        "mis_eventos_batch_size",
        "mis_eventos_batch_wait_seconds",
        "mis_eventos_build_info",
        "mis_eventos_connections_in_use",
        "mis_eventos_look_readers",
        "mis_eventos_waiting",
    }
    page = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `((?:http|mis)_\w+)`", page, re.MULTILINE)
    asked_once = families | {"http_requests", "http_request_duration_seconds", "mis_eventos_decisions"}
    assert {re.sub("_total$", "", name) for name in explained} == asked_once


def test_metrics_are_answered_under_any_host_name(client: TestClient) -> None:
    assert client.get("/metrics", headers={"Host": "203.0.113.7:8000"}).status_code == 200
    assert client.get(f"{PREFIX}/events", headers={"Host": "203.0.113.7:8000"}).status_code == 400


def test_whichever_worker_is_asked_tells_of_all_of_them(live: Store, live_url: str, tmp_path: Path) -> None:
    env = {
        "DATABASE_URL": live_url,
        "SECRET_KEY": SECRET,
        "METRICS_ENABLED": "true",
        "METRICS_TOKEN": TOKEN,
        "ENV": "prod",
        "TMPDIR": str(tmp_path),
        # What an earlier start has left somewhere is not mixed in.
        "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
    }
    route = PREFIX + "/events/{event_id}"

    def ask(client: httpx.Client, path: str) -> httpx.Response:
        # A connection of its own, so that either worker may take it.
        return httpx.get(f"{client.base_url}{path}", headers={"Authorization": f"Bearer {TOKEN}"})

    def asked(client: httpx.Client) -> float:
        seen = figures(ask(client, "/metrics").text)
        return seen["http_requests_total", ("GET", "unauthorized", route, "401")]

    def workers() -> set[int]:
        return {int(file.stem.split("_")[-1]) for file in tmp_path.glob("*/gauge_livesum_*.db")}

    with serving(PROJECT, "--workers", "2", **env) as (_, client):
        for _ in range(20):
            assert ask(client, f"{PREFIX}/events/7").status_code == 401
        assert [asked(client) for _ in range(10)] == [20] * 10
        until(lambda: len(workers()) == 2)
        victim = min(workers())
        os.kill(victim, signal.SIGKILL)
        # Its queues are gone with it, and what it had counted is not.
        until(lambda: (asked(client), victim in workers()) == (20, False))
    assert list(tmp_path.glob("mis-eventos-metrics-*")) == []
