"""What the tests stand on: a real PostgreSQL, migrated, one database per worker, rolled back after each test.

Tests that race or crash use real connections on a second database (``live``), which is emptied after each.
Whatever is logged meanwhile, at whatever level, is searched for the secrets that the tests bring along.
"""

import logging
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, text

from app.api import create_app
from app.core.database import Database, Store
from app.core.embedded_postgres import places, running
from app.core.migrations import upgrade
from app.core.settings import DATA, Settings
from app.models import Base, User
from app.tests.factories import PASSWORD, Factory, claims_of
from app.tests.pgbouncer import pooling

SECRET = "only-for-tests-0123456789-abcdefghijklmnop"
PREFIX = "/api/v1"
OUTSIDE_PREFIX = ("/health", "/docs", "/redoc", "/openapi")

# A machine that plays everybody comes from one address. It is counted all the same.
WIDE: dict[str, Any] = {
    f"rate_limit_{name}": "1000000/minute"
    for name in ("sign_in", "account", "sign_up", "writes", "reads", "check_ins")
}

# A test's database may be lost with the machine; the tests are faster for it.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400"}

# What must be in no log: the tests' password and key, any token, any API key beyond the part that is shown,
# any hash, the address of any calendar.
SECRETS = re.compile(
    rf"{PASSWORD}|{SECRET}|eyJ[\w-]+\.eyJ|mer_[\w-]{{40}}|mek_\d+_[\w-]{{10}}|\$argon2|calendar-of-\d"
)
# The tests' own clients, which log what they ask for.
CLIENTS = ("httpcore", "httpx", "urllib3")

# The same examples each time; `make fuzz` looks at others, and at more.
hypothesis_settings.register_profile("check", max_examples=100, deadline=None, derandomize=True)
hypothesis_settings.register_profile("fuzz", max_examples=800, deadline=None, print_blob=True)
hypothesis_settings.load_profile("check")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many requests were made at random, and how they were answered."""
    counts: Counter[str] = Counter()
    # Those of set-up and teardown, which is where they are counted.
    for report in terminalreporter.getreports(""):
        if report.when == "teardown":
            counts.update({name: count for name, count in report.user_properties if name.startswith("fuzz ")})
    if counts:
        told = ", ".join(f"{count:,} {name.removeprefix('fuzz ')}" for name, count in sorted(counts.items()))
        terminalreporter.write_line(f"Made at random: {told}")


@pytest.fixture(scope="session")
def leaks() -> Iterator[list[str]]:
    """Look through all that is logged, traces and extras too, and collect the lines with a secret."""
    found: list[str] = []
    text = logging.Formatter()
    pass_on = logging.Logger.callHandlers

    def look(logger: logging.Logger, record: logging.LogRecord) -> None:
        if not record.name.startswith(CLIENTS):
            said = f"{text.format(record)} {vars(record)}"
            found.extend([said] if SECRETS.search(said) else [])
        pass_on(logger, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.Logger, "callHandlers", look)
        yield found


@pytest.fixture(autouse=True)
def nothing_leaks(leaks: list[str]) -> Iterator[None]:
    """Fail a test during which a secret was logged, and let everything be logged to see it."""
    leaks.clear()
    logging.getLogger().setLevel(logging.DEBUG)
    yield
    assert leaks == []


@pytest.fixture(scope="session")
def worker() -> str:
    """Name the process that runs this test, among those that run in parallel and in other runs."""
    return str(os.getpid())


@pytest.fixture(scope="session")
def direct_url() -> Iterator[str]:
    """Yield the address of a PostgreSQL server: TEST_DATABASE_URL, else an embedded one for the tests."""
    given = os.environ.get("TEST_DATABASE_URL")
    server: AbstractContextManager[str] = (
        nullcontext(given) if given else running(DATA / "postgres-test", settings=FORGETFUL)
    )
    with server as address:
        url = make_url(address).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        _sweep(url)
        yield url


@pytest.fixture(scope="session")
def server_url(direct_url: str) -> Iterator[str]:
    """Yield where the tests reach their server: with TEST_PGBOUNCER set, through one in transaction mode."""
    with pooling(direct_url) if os.environ.get("TEST_PGBOUNCER") else nullcontext(direct_url) as reached_at:
        yield reached_at


def _sweep(server_url: str) -> None:
    """Drop what runs that were killed have left."""
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        for name in connection.scalars(text("SELECT datname FROM pg_database")).all():
            made_by = re.fullmatch(r"mis_eventos_\w+_(\d+)", name)
            if made_by and not psutil.pid_exists(int(made_by[1])):
                connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@contextmanager
def fresh_database(server_url: str, name: str) -> Iterator[str]:
    """Make an empty database on the server for as long as it is needed, and yield its address."""
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@contextmanager
def migrated_database(server_url: str, name: str) -> Iterator[str]:
    """Make a migrated database for as long as it is needed, and yield its address."""
    with fresh_database(server_url, name) as url:
        engine = create_engine(url, poolclass=NullPool)
        upgrade(engine)
        yield url


@pytest.fixture(scope="session")
def database_url(server_url: str, worker: str) -> Iterator[str]:
    """Yield the address of this worker's migrated database."""
    with migrated_database(server_url, f"mis_eventos_test_{worker}") as url:
        yield url


@pytest.fixture(scope="session")
def settings(database_url: str) -> Settings:
    """Return the settings of the application under test."""
    return Settings(_env_file=None, database_url=database_url, secret_key=SECRET, log_level="WARNING", **WIDE)


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    """Return the application under test."""
    return create_app(settings)


@pytest.fixture(scope="session")
def running_app(app: FastAPI) -> Iterator[TestClient]:
    """Run the application's lifespan around all tests of a worker."""
    with TestClient(app, base_url="http://testserver") as client:
        yield client


@pytest.fixture
def connection(running_app: TestClient, app: FastAPI) -> Iterator[Connection]:
    """Open the outer transaction of a test; the app's own commits become savepoints inside it."""
    store: Store = app.state.store
    with store.engine.connect() as connection:
        outer = connection.begin()
        looks, store.looks, store.observed = store.looks, store.units, True
        store.units.configure(bind=connection, join_transaction_mode="create_savepoint")
        yield connection
        store.units.configure(bind=store.engine, join_transaction_mode="conditional_savepoint")
        store.looks, store.observed = looks, False
        outer.rollback()


@pytest.fixture
def db(connection: Connection) -> Iterator[Database]:
    """Open a unit of work on the test's transaction, to look and to arrange."""
    with Database(connection, join_transaction_mode="create_savepoint", expire_on_commit=True) as db:
        yield db


@pytest.fixture
def make(db: Database) -> Factory:
    """Make rows to begin from, straight in the database."""
    return Factory(db)


class Caller:
    """Someone who calls the API: anonymous, or with an account's token."""

    def __init__(self, client: TestClient, token: str | None = None) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method: str, path: str, **options: Any) -> Any:
        headers = {**self._headers, **options.pop("headers", {})}
        address = path if path.startswith(OUTSIDE_PREFIX) else PREFIX + path
        return self._client.request(method, address, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.request("DELETE", path, **options)


@pytest.fixture
def anonymous(running_app: TestClient, connection: Connection) -> Caller:
    """Call without a token."""
    return Caller(running_app)


@pytest.fixture
def signed_in(running_app: TestClient, connection: Connection, app: FastAPI) -> Callable[[User], Caller]:
    """Call with the token of an account."""
    return lambda user: Caller(running_app, app.state.tokens.issue(claims_of(user)))


@pytest.fixture
def statements(connection: Connection) -> Iterator[list[str]]:
    """Collect the SQL statements sent on the test's connection, savepoints aside."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            seen.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    yield seen
    event.remove(connection, "before_cursor_execute", note)


@pytest.fixture(scope="session")
def live_url(server_url: str, worker: str) -> Iterator[str]:
    """Yield the address of a migrated database for tests with real connections."""
    with migrated_database(server_url, f"mis_eventos_live_{worker}") as url:
        yield url


@pytest.fixture
def live(live_url: str) -> Iterator[Store]:
    """Yield real connections to a database that is emptied after the test."""
    store = Store(live_url, pool_size=40, queue_size=10_000)
    yield store
    store.close()
    _empty(create_engine(live_url, poolclass=NullPool))


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Name a folder for data that every account can enter, unlike those of `tmp_path`."""
    directory = Path(tempfile.mkdtemp(prefix="mis-eventos-data-"))
    directory.chmod(0o755)
    monkeypatch.setattr(places, "STATE_DIRECTORY", directory / "state")
    yield directory / "data"
    shutil.rmtree(directory)


def _empty(engine: Engine) -> None:
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        # The log of changes lets nobody empty it whose tables these are not.
        connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(text("ALTER TABLE audit_entries ENABLE TRIGGER USER"))
