"""Whether the service is up."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, NullPool, create_engine, text

from app.api import create_app
from app.core.database import Store
from app.core.embedded_postgres import running
from app.core.migrations import downgrade, upgrade
from app.core.settings import Settings
from app.tests.conftest import SECRET, Caller, fresh_database, migrated_database
from app.tests.factories import PASSWORD
from app.tests.rush import crowd, opened

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


def store_of(client: TestClient) -> Store:
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    return store


def set_read_only(engine: Engine, switched: str) -> None:
    """Switch for the sessions to come; a pooler would go on with those that it has."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = connection.scalar(text("SELECT quote_ident(current_database())"))
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {switched}"))


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


def test_a_read_only_database_is_not_ready_and_takes_writes_again_when_it_may(
    direct_url: str, worker: str
) -> None:
    with migrated_database(direct_url, f"mis_eventos_held_{worker}") as url, production(url) as client:
        engine = create_engine(url, poolclass=NullPool)
        body = {"email": "ana@example.com", "password": PASSWORD}
        set_read_only(engine, "on")
        # Connections that were there before go on as they were; those that the pool opens now do not.
        store_of(client).engine.dispose()
        for response in (client.get("/health/ready"), client.post("/api/v1/auth/register", json=body)):
            assert (response.status_code, response.json()["type"]) == (503, "/problems/read-only-database")
            assert response.headers["retry-after"] == "2"
        assert client.get("/health/live").status_code == 200
        assert client.get("/api/v1/events").status_code == 200
        set_read_only(engine, "off")
        assert client.get("/health/ready").status_code == 200
        # The connection that has read meanwhile cannot write; once that was tried, the pool lets go of all.
        statuses = [client.post("/api/v1/auth/register", json=body).status_code for _ in range(2)]
        assert statuses == [503, 201]


def test_registrations_are_refused_together_while_the_database_is_read_only(
    direct_url: str, worker: str
) -> None:
    with migrated_database(direct_url, f"mis_eventos_held_{worker}") as url, production(url) as client:
        store = store_of(client)
        [person] = crowd(store, 1)
        path = f"/api/v1/registrations/events/{opened(store, person, 1)}"
        headers = {"Authorization": f"Bearer {person.token}"}
        engine = create_engine(url, poolclass=NullPool)
        set_read_only(engine, "on")
        store.engine.dispose()
        response = client.post(path, headers=headers)
        assert (response.status_code, response.json()["type"]) == (503, "/problems/read-only-database")
        set_read_only(engine, "off")
        assert client.post(path, headers=headers).status_code == 201


def test_a_standby_is_not_ready(data_dir: Path) -> None:
    with running(data_dir) as url:
        upgrade(create_engine(url, poolclass=NullPool))
    (data_dir / "standby.signal").touch()
    with running(data_dir) as url, production(url) as client:
        response = client.get("/health/ready")
        assert (response.status_code, response.json()["type"]) == (503, "/problems/read-only-database")
        assert client.get("/api/v1/events").status_code == 200


def test_a_process_that_was_asked_to_stop_lives_and_is_not_ready(live_url: str) -> None:
    with production(live_url) as client:
        client.app.state.draining.begun = True  # type: ignore[attr-defined]
        response = client.get("/health/ready")
        assert (response.status_code, response.json()["type"]) == (503, "/problems/stopping")
        assert client.get("/health/live").status_code == 200
        assert client.get("/api/v1/events").status_code == 200


def test_health_is_answered_under_any_host_name_and_waits_behind_nobody(live_url: str) -> None:
    settings: dict[str, Any] = {"allow_hosts": ["api.example.com"], "db_pool_size": 1, "db_queue_size": 0}
    with production(live_url, **settings) as client:
        # The only connection is taken, as by a request that takes its time.
        connection = store_of(client).engine.connect()
        with connection:
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 200
        assert client.get("/api/v1/events").json()["type"] == "/problems/untrusted-host"
