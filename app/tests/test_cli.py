"""The command line: what it says, what it does, and how the server comes and goes."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, select, text
from typer.testing import CliRunner, Result

from app.api import schema
from app.cli import DEMO_PASSWORD, app
from app.core.database import Store
from app.core.logging import configure_logging
from app.core.security import PasswordHasher
from app.core.settings import PROJECT
from app.models import Event, Registration, User
from app.models.enums import Role
from app.tests.conftest import PREFIX, SECRET, fresh_database
from app.tests.factories import PASSWORD, Factory, claims_of
from app.tests.rush import TOKENS, until

NOWHERE = "postgresql://localhost:1/nothing"

Cli = Callable[..., Result]
Server = subprocess.Popen[str]


@pytest.fixture(scope="module")
def empty_url(server_url: str, worker: str) -> Iterator[str]:
    """Yield the address of a database that only these tests change."""
    with fresh_database(server_url, f"mis_eventos_cli_{worker}") as url:
        yield url


@pytest.fixture
def cli(live_url: str) -> Iterator[Cli]:
    """Run a command in this process, on the database of `live`."""

    def run(*words: str, stdin: str = "", **env: str) -> Result:
        environment = {"DATABASE_URL": live_url, "SECRET_KEY": SECRET, "COLUMNS": "200", **env}
        return CliRunner().invoke(app, words, input=stdin, env=environment)

    yield run
    configure_logging(level="WARNING", style="text")


@pytest.fixture
def rows(live: Store) -> Iterator[Connection]:
    """Look into the database of `live`, each statement at its own time."""
    with live.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def account(rows: Connection, email: str) -> Any:
    return rows.execute(select(User.__table__).where(User.email == email)).one()


# What it says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "migrate", "create-admin", "seed", "openapi"])
def test_every_command_explains_itself_with_an_example(cli: Cli, command: str) -> None:
    assert f" {command} " in cli("--help").output
    said = cli(command, "--help")
    assert said.exit_code == 0
    assert f"events {command}" in said.output


@pytest.mark.parametrize(
    "command",
    [("serve",), ("migrate",), ("create-admin", "--email", "ana@example.com"), ("seed",)],
)
@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"DB_POOL_SIZE": "none"}, "DB_POOL_SIZE"),
        ({"DATABASE_URL": NOWHERE}, "onnection refused"),
        ({"DATABASE_URL": NOWHERE, "ENV": "prod", "SECRET_KEY": "weak"}, "SECRET_KEY"),
    ],
)
def test_what_is_unusable_ends_a_command_with_one_message(
    cli: Cli, command: tuple[str, ...], env: dict[str, str], expected: str
) -> None:
    port = ("--port", str(free_port())) if command == ("serve",) else ()
    said = cli(*command, *port, **env)
    assert said.exit_code == 1
    assert expected in said.output
    assert "Traceback" not in said.output


def test_openapi_prints_the_document_in_order(cli: Cli) -> None:
    said = cli("openapi")
    assert json.loads(said.stdout) == schema()
    assert said.stdout == json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("env", [{"API_V1_PREFIX": "/elsewhere"}, {"ENV": "prod", "SECRET_KEY": ""}])
def test_openapi_is_the_same_whatever_the_environment(cli: Cli, env: dict[str, str]) -> None:
    said = cli("openapi", **env)
    assert said.exit_code == 0
    assert PREFIX + "/events" in json.loads(said.stdout)["paths"]


# Migrating ---------------------------------------------------------------------------------------------


def test_migrate_says_from_where_to_where(cli: Cli, empty_url: str) -> None:
    said = cli("migrate", DATABASE_URL=empty_url, ENV="prod")
    assert said.exit_code == 0
    revision = said.output.split()[-1].rstrip(".")
    assert said.output == f"The database went from nothing to {revision}.\n"
    assert cli("migrate", DATABASE_URL=empty_url).output == f"The database is at {revision} already.\n"


def test_migrate_refuses_a_revision_that_is_none(cli: Cli) -> None:
    said = cli("migrate", "--revision", "tomorrow")
    assert said.exit_code == 1
    assert said.output == "The migrations did not run: Can't locate revision identified by 'tomorrow'\n"


@pytest.mark.parametrize("command", [("seed", "--yes"), ("create-admin", "--email", "ana@example.com")])
def test_production_is_migrated_by_hand_only(
    cli: Cli, server_url: str, worker: str, command: tuple[str, ...]
) -> None:
    with fresh_database(server_url, f"mis_eventos_bare_{worker}") as url:
        said = cli(*command, DATABASE_URL=url, ENV="prod")
    assert (said.exit_code, said.output) == (1, "The database is not migrated. Run 'events migrate' first.\n")


# Appointing an administrator ---------------------------------------------------------------------------


def test_a_new_admin_gets_an_account(cli: Cli, rows: Connection) -> None:
    said = cli("create-admin", "--email", "Ana@Example.com", "--password", "long enough")
    assert said.exit_code == 0
    made = account(rows, "ana@example.com")
    assert (made.role, made.is_active) == (Role.ADMIN, True)
    assert PasswordHasher().verify("long enough", made.password_hash)


def test_the_password_may_come_through_a_pipe(cli: Cli, rows: Connection) -> None:
    assert cli("create-admin", "--email", "ana@example.com", stdin="from a file\n").exit_code == 0
    assert PasswordHasher().verify("from a file", account(rows, "ana@example.com").password_hash)


def test_the_password_is_asked_for_and_not_shown(live_url: str, rows: Connection) -> None:
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "create-admin", "--email", "ana@example.com"],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": live_url, "SECRET_KEY": SECRET},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    for question in (b"Password of the new account", b"Repeat for confirmation"):
        while question not in shown:
            shown += os.read(ours, 1024)
        # The terminal stops echoing just after the question.
        time.sleep(0.2)
        os.write(ours, b"typed by hand\n")
    assert asked.wait(timeout=60) == 0
    shown += os.read(ours, 1024)
    os.close(ours)
    assert b"typed by hand" not in shown
    assert PasswordHasher().verify("typed by hand", account(rows, "ana@example.com").password_hash)


def test_an_existing_account_becomes_admin_and_its_tokens_end(
    cli: Cli, live: Store, rows: Connection
) -> None:
    with live.units() as db:
        before = Factory(db).user(email="ana@example.com", is_active=False)
    assert cli("create-admin", "--email", "ANA@example.com").exit_code == 0
    after = account(rows, "ana@example.com")
    assert (after.role, after.is_active, after.token_version) == (Role.ADMIN, True, before.token_version + 1)
    assert after.password_hash == before.password_hash
    assert (
        cli("create-admin", "--email", "ana@example.com").output
        == "ana@example.com is an administrator already.\n"
    )
    assert account(rows, "ana@example.com") == after
    cli("create-admin", "--email", "ana@example.com", "--password", "another one")
    assert PasswordHasher().verify("another one", account(rows, "ana@example.com").password_hash)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--email", "nobody"), "email: "),
        (("--email", "ana@example.com", "--password", "short"), "password: "),
        (("--email", "ana@example.com"), "ana@example.com has no account yet"),
    ],
)
def test_what_makes_no_account_is_refused(
    cli: Cli, rows: Connection, words: tuple[str, ...], expected: str
) -> None:
    said = cli("create-admin", *words)
    assert said.exit_code == 1
    assert said.output.startswith(expected)
    assert rows.execute(select(User.__table__)).all() == []


# Filling with data -------------------------------------------------------------------------------------


def test_seeding_twice_doubles_nothing(cli: Cli, rows: Connection) -> None:
    first = cli("seed")
    assert first.exit_code == 0
    assert "admin@demo.example.com" in first.output
    assert DEMO_PASSWORD in first.output
    events = rows.execute(select(Event.__table__)).all()
    second = cli("seed")
    assert second.exit_code == 0
    assert "there already (86 accounts, 11 events" in second.output
    assert rows.execute(select(Event.__table__)).all() == events
    assert PasswordHasher().verify(DEMO_PASSWORD, account(rows, "admin@demo.example.com").password_hash)


def test_production_gets_demo_data_only_on_purpose_and_with_a_password_of_its_own(
    cli: Cli, rows: Connection
) -> None:
    refused = cli("seed", ENV="prod")
    assert refused.exit_code == 1
    assert "--yes" in refused.output
    assert rows.execute(select(User.__table__)).all() == []
    done = cli("seed", "--yes", ENV="prod")
    password = done.output.split()[-1]
    assert password != DEMO_PASSWORD
    assert PasswordHasher().verify(password, account(rows, "admin@demo.example.com").password_hash)


def test_seeding_in_bulk_adds_what_is_missing(cli: Cli, rows: Connection) -> None:
    wanted = ("seed", "--people", "12000", "--events", "100", "--registrations", "500")
    first = cli(*wanted)
    assert first.exit_code == 0
    assert "12000/12000" in first.output
    assert "rows/s" in first.output
    assert "Added 12,620 rows." in first.output
    assert "All of it was there already." in cli(*wanted).output
    assert "Added 1 rows." in cli("seed", "--events", "101").output
    assert len(rows.execute(select(Registration.id)).all()) == 500


def test_seeding_in_bulk_stops_where_there_is_no_room(cli: Cli, rows: Connection) -> None:
    said = cli("seed", "--people", "3", "--events", "2", "--registrations", "500")
    assert said.exit_code == 0
    assert 0 < len(rows.execute(select(Registration.id)).all()) <= 6


# Serving -----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(project: Path, *words: str, **env: str) -> Iterator[tuple[Server, httpx.Client]]:
    """Start a server in another process, wait until it answers, and see to it that it ends."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", str(port), *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    try:
        deadline = time.monotonic() + 60
        while not answers(client):
            assert server.poll() is None, server.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield server, client
    finally:
        client.close()
        if server.poll() is None:
            server.terminate()
        server.communicate(timeout=60)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").is_success
    except httpx.TransportError:
        return False


def test_a_port_in_use_is_said_at_once(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = cli("serve", "--port", str(port), DATABASE_URL=NOWHERE)
    assert said.exit_code == 1
    assert said.output == (
        f"Cannot listen on port {port} of 127.0.0.1: address already in use. Try another --port or --host.\n"
    )


def test_an_address_of_another_machine_cannot_be_served(cli: Cli) -> None:
    said = cli("serve", "--host", "no.such.host.invalid", DATABASE_URL=NOWHERE)
    assert said.exit_code == 1
    assert said.output.startswith("Cannot listen on port 8000 of no.such.host.invalid: ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_in_flight_and_in_the_queue_are_answered_when_the_server_is_asked_to_stop(
    live_url: str, live: Store, rows: Connection, workers: str
) -> None:
    with live.units() as db:
        make = Factory(db)
        event, people = make.event(), [make.user() for _ in range(4)]
    env = {"DATABASE_URL": live_url, "SECRET_KEY": SECRET, "METRICS_ENABLED": "true"}
    with (
        serving(PROJECT, "--workers", workers, **env) as (server, client),
        live.engine.connect() as holder,
        ThreadPoolExecutor(len(people)) as callers,
    ):
        # Each worker serves one, which the lock holds up, and the others wait for the next batch.
        holder.execute(text("SELECT FROM events WHERE id = :id FOR UPDATE"), {"id": event.id})
        pending = [
            callers.submit(
                client.post,
                f"{PREFIX}/registrations/events/{event.id}",
                headers={"Authorization": f"Bearer {TOKENS.issue(claims_of(person))}"},
            )
            for person in people
        ]
        # The fifth is the one that asks.
        until(lambda: "\nhttp_requests_in_flight 5.0\n" in client.get("/metrics").text)
        server.send_signal(signal.SIGTERM)
        # Long enough for an idle server to be gone.
        time.sleep(1)
        assert server.poll() is None
        assert not any(answer.done() for answer in pending)
        holder.rollback()
        assert [answer.result(timeout=30).status_code for answer in pending] == [201] * 4
        assert server.wait(timeout=30) == 0
    assert len(rows.execute(select(Registration.id)).all()) == 4


@pytest.fixture
def clone() -> Iterator[Path]:
    """Copy the service to where it has data of its own."""
    folder = Path(tempfile.mkdtemp(prefix="mis-eventos-clone-"))
    # So that PostgreSQL's own account may enter, if root runs this.
    folder.chmod(0o755)
    for part in ("app", "alembic"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    shutil.copy(PROJECT / "alembic.ini", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("words", [("--workers", "2"), ("--reload",)], ids=["workers", "reload"])
def test_the_embedded_database_stops_with_the_server(clone: Path, words: tuple[str, ...]) -> None:
    env = {"DATABASE_URL": "", "ENV": "dev"}
    with serving(clone, *words, **env) as (server, client):
        assert client.get(f"{PREFIX}/events").json()["items"] == []
        assert (clone / ".data/postgres/postmaster.pid").exists()
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)
    assert server.returncode == 0
    assert f"{client.base_url}/docs" in said
    assert "Traceback" not in said
    assert not (clone / ".data/postgres/postmaster.pid").exists()


def test_data_survive_a_server_that_is_killed(clone: Path) -> None:
    env = {"DATABASE_URL": "", "ENV": "dev"}
    person = {"email": "ana@example.com", "password": PASSWORD}
    with serving(clone, **env) as (server, client):
        assert client.post(f"{PREFIX}/auth/register", json=person).status_code == 201
        with ThreadPoolExecutor(4) as crowd:
            for number in range(40):
                crowd.submit(
                    client.post, f"{PREFIX}/auth/register", json=person | {"email": f"p{number}@example.com"}
                )
            time.sleep(0.1)
            server.kill()
            server.wait()
    with serving(clone, **env) as (server, client):
        assert client.post(f"{PREFIX}/auth/login", json=person).status_code == 200
    assert not (clone / ".data/postgres/postmaster.pid").exists()
