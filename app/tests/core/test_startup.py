"""What happens before the first request."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import NullPool, create_engine

from app.api import create_app
from app.core.migrations import is_migrated
from app.core.settings import PROJECT, Settings
from app.core.startup import CannotStart, prepare
from app.tests.conftest import SECRET, fresh_database

NOBODY_LISTENS = "postgresql://ana:a-database-password@127.0.0.1:9/nowhere"


def set_up(**settings: Any) -> Settings:
    return Settings(_env_file=None, secret_key=SECRET, log_level="ERROR", **settings)


def test_in_development_the_schema_is_brought_up_at_the_start(server_url: str, worker: str) -> None:
    with fresh_database(server_url, f"mis_eventos_start_{worker}") as url:
        for _ in range(2):
            with TestClient(create_app(set_up(database_url=url))) as client:
                assert client.get("/health/ready").status_code == 200
                assert client.get("/api/v1/events").json()["items"] == []


def test_in_production_the_schema_is_the_operators_and_the_log_says_so(
    server_url: str, worker: str, caplog: pytest.LogCaptureFixture
) -> None:
    with fresh_database(server_url, f"mis_eventos_start_{worker}") as url:
        engine = create_engine(url, poolclass=NullPool)
        with caplog.at_level(logging.WARNING):
            prepare(set_up(env="prod", database_url=url), engine)
        assert caplog.messages == ["the database is not migrated; run 'events migrate'"]
        assert not is_migrated(engine)


def test_without_its_database_development_does_not_start_and_says_why() -> None:
    engine = create_engine(NOBODY_LISTENS.replace("postgresql", "postgresql+psycopg2"), poolclass=NullPool)
    with pytest.raises(CannotStart) as refusal:
        prepare(set_up(database_url=NOBODY_LISTENS), engine)
    assert str(refusal.value).startswith("The database cannot be reached; check DATABASE_URL. It said: ")
    assert "a-database-password" not in str(refusal.value)


def test_without_its_database_production_starts_and_waits(caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(NOBODY_LISTENS.replace("postgresql", "postgresql+psycopg2"), poolclass=NullPool)
    with caplog.at_level(logging.WARNING):
        prepare(set_up(env="prod", database_url=NOBODY_LISTENS), engine)
    assert [message.partition(":")[0] for message in caplog.messages] == ["the database does not answer yet"]
    assert "a-database-password" not in caplog.text


def test_a_server_that_cannot_start_says_why_without_a_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "SECRET_KEY": SECRET, "DATABASE_URL": NOBODY_LISTENS, "ENV": "dev"}
    start = subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = start.stdout + start.stderr
    assert start.returncode != 0
    assert "The database cannot be reached; check DATABASE_URL." in said
    assert [word for word in ("Traceback", "a-database-password") if word in said] == []
