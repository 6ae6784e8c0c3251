"""Whether the service is up."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import NullPool, create_engine

from app.api import create_app
from app.core.migrations import downgrade, upgrade
from app.core.settings import Settings
from app.tests.conftest import SECRET, Caller, fresh_database

NOBODY_LISTENS = "postgresql://nobody:a-database-password@127.0.0.1:9/nowhere"


def production(url: str, **settings: Any) -> TestClient:
    return TestClient(
        create_app(
            Settings(
                _env_file=None, env="prod", database_url=url, secret_key=SECRET, log_level="ERROR", **settings
            )
        ),
        base_url="http://203.0.113.7:8000",
    )


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_healthy_service_says_so(anonymous: Caller, path: str) -> None:
    response = anonymous.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_service_without_its_database_lives_and_is_not_ready() -> None:
    with production(NOBODY_LISTENS) as client:
        assert client.get("/health/live").status_code == 200
        response = client.get("/health/ready")
        assert (response.status_code, response.json()["type"]) == (503, "/problems/unavailable")
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "2"
        assert "a-database-password" not in response.text
        assert client.get("/api/v1/events").json()["type"] == "/problems/unavailable"


def test_a_database_that_is_not_migrated_is_not_ready_until_it_is(server_url: str, worker: str) -> None:
    with fresh_database(server_url, f"mis_eventos_bare_{worker}") as url, production(url) as client:
        response = client.get("/health/ready")
        assert (response.status_code, response.json()["type"]) == (503, "/problems/not-migrated")
        engine = create_engine(url, poolclass=NullPool)
        upgrade(engine)
        assert client.get("/health/ready").status_code == 200
        downgrade(engine, "base")
        assert client.get("/health/ready").status_code == 503


def test_health_is_answered_under_any_host_name_and_waits_behind_nobody(live_url: str) -> None:
    settings: dict[str, Any] = {"allow_hosts": ["api.example.com"], "db_pool_size": 1, "db_queue_size": 0}
    with production(live_url, **settings) as client:
        # The only connection is taken, as by a request that takes its time.
        connection = client.app.state.store.engine.connect()  # type: ignore[attr-defined]
        with connection:
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 200
        assert client.get("/api/v1/events").json()["type"] == "/problems/untrusted-host"
