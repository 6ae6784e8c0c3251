"""A database for one run of the benchmarks, made and dropped by it, on a server that loses nothing."""

import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from app.core.embedded_postgres import running
from app.core.migrations import upgrade
from app.core.settings import DATA

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

QUIET_SAMPLES = 10
QUIET_SECONDS = 60


@contextmanager
def database(server_url: str | None) -> Iterator[Engine]:
    """Make a migrated database on the server, or on a new embedded one, and drop it at the end."""
    if server_url is None:
        with _embedded_server() as url, _own_database(url) as engine:
            yield engine
    else:
        with _own_database(server_url) as engine:
            yield engine


@contextmanager
def _embedded_server() -> Iterator[str]:
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=DATA) as directory:
        data = Path(directory) / "postgres"
        try:
            with running(data, settings=DURABLE) as url:
                yield url
        finally:
            # Started by root, the server keeps its data and its locks elsewhere and leaves a link here.
            place = data.resolve()
            shutil.rmtree(place, ignore_errors=True)
            for beside in place.parent.glob(f"{place.name}.*"):
                beside.unlink()


@contextmanager
def _own_database(server_url: str) -> Iterator[Engine]:
    url = make_url(server_url).set(drivername="postgresql+psycopg2")
    name = f"mis_eventos_bench_{secrets.token_hex(4)}"
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    engine = create_engine(url.set(database=name), poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        upgrade(engine)
        yield engine
    finally:
        with server.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def tidy(engine: Engine) -> None:
    """Leave nothing for the server to do during the run that it would do sooner or later."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        with suppress(ProgrammingError):  # not everybody may
            connection.execute(text("CHECKPOINT"))


def wait_until_quiet(engine: Engine) -> None:
    """Wait until nobody else is at work in the database: clients that left have still been served."""
    at_work = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
    )
    deadline = time.monotonic() + QUIET_SECONDS
    quiet = 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while quiet < QUIET_SAMPLES and time.monotonic() < deadline:
            quiet = 0 if connection.scalar(at_work) else quiet + 1
            time.sleep(0.05)


def facts(engine: Engine) -> dict[str, str]:
    """Tell the server's version, how durable it is, and what one durable commit costs here."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        shown = {name: connection.scalar(text(f"SHOW {name}")) for name in ("server_version", *DURABLE)}
        connection.execute(text("CREATE TABLE bench_commits (n integer)"))
        spent = []
        for n in range(100):
            started = time.perf_counter()
            connection.execute(text("INSERT INTO bench_commits VALUES (:n)"), {"n": n})
            spent.append(time.perf_counter() - started)
        connection.execute(text("DROP TABLE bench_commits"))
    durability = ", ".join(f"{name} {shown[name]}" for name in DURABLE)
    commit = f"one row committed in {statistics.median(spent) * 1e3:.2f} ms"
    return {"PostgreSQL": f"{shown['server_version']}, {durability}; {commit}"}
