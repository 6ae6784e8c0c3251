"""A process that was asked to stop says so first, and serves until its time is over."""

import signal
import time

import httpx
import pytest

from app.core.database import Store
from app.core.settings import PROJECT
from app.tests.conftest import PREFIX, SECRET
from app.tests.rush import until
from app.tests.test_cli import serving

SECONDS = 3


def ready(client: httpx.Client) -> tuple[int, str]:
    # A connection of its own: a balancer asks anew each time.
    answer = httpx.get(f"{client.base_url}/health/ready")
    return answer.status_code, answer.json().get("type", "")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_while_it_drains_a_process_serves_and_is_not_ready(live: Store, live_url: str, workers: str) -> None:
    env = {"DATABASE_URL": live_url, "SECRET_KEY": SECRET, "DRAIN_SECONDS": str(SECONDS)}
    with serving(PROJECT, "--workers", workers, **env) as (server, client):
        assert ready(client) == (200, "")
        server.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        until(lambda: ready(client) == (503, "/problems/stopping"))
        assert httpx.get(f"{client.base_url}/health/live").status_code == 200
        assert httpx.get(f"{client.base_url}{PREFIX}/events").status_code == 200
        assert server.wait(timeout=30) == 0
        assert time.monotonic() - asked >= SECONDS


def test_asked_twice_a_process_stops_at_once(live: Store, live_url: str) -> None:
    env = {"DATABASE_URL": live_url, "SECRET_KEY": SECRET, "DRAIN_SECONDS": "300"}
    with serving(PROJECT, **env) as (server, client):
        server.send_signal(signal.SIGTERM)
        until(lambda: ready(client) == (503, "/problems/stopping"))
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
