"""Where transactions begin and end."""

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import anyio
import pytest
from anyio import to_thread
from fastapi import Depends
from fastapi.testclient import TestClient
from psycopg2.errors import LockNotAvailable, QueryCanceled
from sqlalchemy import func, select, text
from sqlalchemy.exc import DataError, OperationalError

from app.api import create_app
from app.core.database import Database, Store, TimeLimits, with_settings
from app.core.exceptions import ReadOnlyDatabase
from app.core.settings import Settings
from app.dependencies.database import Db, transaction
from app.models import User
from app.tests.conftest import SECRET
from app.tests.factories import Factory

pytestmark = pytest.mark.anyio

OPEN = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
)
DROP_THE_OTHERS = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def look(store: Store, question: Any) -> Any:
    with store.apart() as engine, engine.begin() as connection:
        return connection.scalar(question)


def emails(store: Store) -> list[str]:
    with store.apart() as engine, engine.connect() as connection:
        return list(connection.scalars(text("SELECT email FROM users ORDER BY id")))


def add(db: Database, email: str) -> User:
    return Factory(db).user(email=email)


def insert(db: Database, email: str) -> None:
    db.add(User(email=email, password_hash="x"))
    db.flush()


async def test_a_unit_of_work_is_committed_when_it_ends(live: Store) -> None:
    async with live.transaction() as db:
        await to_thread.run_sync(insert, db, "ana@example.com")
        assert (look(live, OPEN), emails(live)) == (1, [])
    assert (look(live, OPEN), emails(live), live.gate.inside) == (0, ["ana@example.com"], 0)


async def test_one_that_fails_leaves_no_trace_and_no_open_transaction(live: Store) -> None:
    async def work() -> None:
        async with live.transaction() as db:
            await to_thread.run_sync(insert, db, "ana@example.com")
            assert look(live, OPEN) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert (look(live, OPEN), emails(live), live.gate.inside) == (0, [], 0)


async def test_one_that_is_cancelled_leaves_no_trace_and_no_open_transaction(live: Store) -> None:
    async def work() -> None:
        async with live.transaction() as db:
            await to_thread.run_sync(insert, db, "ana@example.com")
            began.set()
            await anyio.sleep_forever()

    began = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await began.wait()
        assert look(live, OPEN) == 1
        group.cancel_scope.cancel()
    assert (look(live, OPEN), emails(live), live.gate.inside) == (0, [], 0)
    assert live.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_short_work_is_returned_and_committed(live: Store) -> None:
    assert (await live.run(lambda db: add(db, "ana@example.com"))).email == "ana@example.com"
    assert emails(live) == ["ana@example.com"]


async def test_a_job_is_committed_at_its_end_or_leaves_no_trace(live: Store) -> None:
    def work(email: str, divisor: int) -> None:
        with live.job() as db:
            insert(db, email)
            assert 1 / divisor == 1

    work("ana@example.com", 1)
    with pytest.raises(ZeroDivisionError):
        work("luis@example.com", 0)
    assert (look(live, OPEN), emails(live)) == (0, ["ana@example.com"])


async def test_a_commit_that_fails_is_an_error_and_leaves_no_open_transaction(live: Store) -> None:
    async def work() -> None:
        async with live.transaction() as db:
            await to_thread.run_sync(insert, db, "ana@example.com")
            look(live, DROP_THE_OTHERS)

    with pytest.raises(OperationalError):
        await work()
    assert (look(live, OPEN), emails(live), live.gate.inside) == (0, [], 0)


@pytest.mark.parametrize("by", [1, 0], ids=["answered", "failed"])
async def test_a_look_gives_its_connection_back_as_one_for_transactions(live_url: str, by: int) -> None:
    store = Store(live_url, pool_size=1, queue_size=10)

    def work(db: Database) -> None:
        insert(db, "ana@example.com")
        raise ZeroDivisionError

    with suppress(DataError):
        await store.look(lambda db: db.scalar(text("SELECT 1 / CAST(:by AS integer)").bindparams(by=by)))
    with pytest.raises(ZeroDivisionError):
        await store.run(work)
    assert emails(store) == []
    store.close()


async def test_connections_lost_while_idle_are_replaced(live: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.database.TRUSTED_SECONDS", 0)
    await live.run(lambda db: db.scalar(text("SELECT 1")))
    look(live, DROP_THE_OTHERS)
    assert await live.run(lambda db: db.scalar(text("SELECT 1"))) == 1


async def test_a_connection_lost_just_now_costs_one_refusal_at_most(live: Store) -> None:
    await live.run(lambda db: db.scalar(text("SELECT 1")))
    look(live, DROP_THE_OTHERS)
    with suppress(OperationalError):
        await live.run(lambda db: db.scalar(text("SELECT 1")))
    assert await live.run(lambda db: db.scalar(text("SELECT 1"))) == 1


async def test_more_work_than_connections_is_all_done_in_turn(live: Store, live_url: str) -> None:
    narrow = Store(live_url, pool_size=2, queue_size=100)
    done: list[int] = []

    async def work(number: int) -> None:
        await narrow.run(lambda db: db.execute(text("SELECT pg_sleep(0.002)")).all())
        done.append(number)

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(work, number)
    assert sorted(done) == list(range(60))
    assert narrow.gate.inside == 0
    narrow.close()


# Time limits


@pytest.fixture
def limited(live: Store, live_url: str) -> Iterator[Store]:
    """Yield one connection whose transactions are soon given up."""
    store = Store(live_url, pool_size=1, queue_size=10, limits=TimeLimits(statement=0.4, lock=0.2, idle=0.3))
    yield store
    store.close()


LIMITS = text(
    "SELECT string_agg(current_setting(name), ',' ORDER BY name) FROM unnest(ARRAY["
    "'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) AS name"
)


async def test_each_transaction_is_limited_and_no_session_is(limited: Store) -> None:
    for _ in range(2):
        with limited.job() as db:
            assert db.scalar(LIMITS) == "300ms,200ms,400ms"
            db.rollback()
            assert db.scalar(LIMITS) == "300ms,200ms,400ms"
        # The only connection, as the next borrower finds it.
        with closing(limited.engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(str(LIMITS))
            assert cursor.fetchall() == [("0,0,0",)]


async def test_each_statement_of_a_look_is_a_transaction_of_its_own_and_limited(limited: Store) -> None:
    def work(db: Database) -> tuple[list[Any], list[Any]]:
        ids = [db.scalar(select(func.txid_current())) for _ in range(2)]
        return [db.scalar(LIMITS) for _ in range(2)], ids

    told, ids = await limited.look(work)
    assert told == ["300ms,200ms,400ms"] * 2
    assert len(set(ids)) == 2


@pytest.mark.parametrize("way", ["look", "run"])
async def test_what_a_statement_sets_ends_with_its_transaction(limited: Store, way: str) -> None:
    setting = text("SELECT current_setting('enable_seqscan')")

    def ask(db: Database) -> list[Any]:
        return [
            db.scalar(setting, execution_options=with_settings({"enable_seqscan": "off"})),
            db.scalar(setting),
        ]

    assert await getattr(limited, way)(ask) == ["off", "on" if way == "look" else "off"]
    assert await getattr(limited, way)(lambda db: db.scalar(setting)) == "on"


async def test_whatever_statement_is_the_first_it_is_limited(limited: Store) -> None:
    with limited.engine.begin() as connection:
        connection.exec_driver_sql("SELECT %(n)s::int", [{"n": 1}, {"n": 2}])
        assert connection.scalar(LIMITS) == "300ms,200ms,400ms"
    with limited.engine.begin() as connection:
        connection.execution_options(no_parameters=True).exec_driver_sql("SELECT '%'")
        assert connection.scalar(LIMITS) == "300ms,200ms,400ms"


async def test_what_is_no_request_takes_as_long_as_it_likes(live: Store) -> None:
    with live.job() as db:
        assert db.scalar(LIMITS) == "0,0,0"


async def test_a_statement_that_takes_too_long_is_ended(limited: Store) -> None:
    with pytest.raises(OperationalError) as ended, limited.job() as db:
        db.execute(text("SELECT pg_sleep(10)"))
    assert isinstance(ended.value.orig, QueryCanceled)
    assert (look(limited, OPEN), await limited.run(lambda db: db.scalar(text("SELECT 1")))) == (0, 1)


async def test_nobody_waits_for_a_row_for_long(live: Store, limited: Store) -> None:
    with live.job() as holder:
        user = add(holder, "ana@example.com")
        holder.commit()
        one = text(f"SELECT id FROM users WHERE id = {user.id} FOR UPDATE")
        holder.execute(one)
        with pytest.raises(OperationalError) as ended, limited.job() as db:
            db.execute(one)
    assert isinstance(ended.value.orig, LockNotAvailable)
    assert await limited.run(lambda db: db.scalar(one)) == user.id


async def test_a_transaction_that_does_nothing_is_ended_and_holds_nothing(limited: Store) -> None:
    def dawdle() -> None:
        with limited.job() as db:
            insert(db, "ana@example.com")
            time.sleep(0.8)
            assert look(limited, OPEN) == 0
            db.scalar(text("SELECT 1"))

    with pytest.raises(OperationalError) as ended:
        dawdle()
    assert ended.value.connection_invalidated
    assert (emails(limited), await limited.run(lambda db: db.scalar(text("SELECT 1")))) == ([], 1)


async def test_a_database_that_only_reads_is_told_from_a_fault_of_ours(limited: Store) -> None:
    def write() -> None:
        with limited.job() as db:
            db.execute(text("SET TRANSACTION READ ONLY"))
            insert(db, "ana@example.com")

    with pytest.raises(ReadOnlyDatabase):
        write()


# What the client sees


@pytest.fixture
def client(live: Store, live_url: str) -> Any:
    """Call an application whose routes die in the middle, on real connections."""
    app = create_app(
        Settings(
            _env_file=None,
            database_url=live_url,
            secret_key=SECRET,
            log_level="ERROR",
            statement_timeout=0.4,
            lock_timeout=0.2,
        )
    )

    def take_too_long(db: Db) -> None:
        insert(db, "ana@example.com")
        db.execute(text("SELECT pg_sleep(10)"))

    def wait_for_a_table(db: Db) -> None:
        insert(db, "ana@example.com")
        with live.job() as holder:
            holder.execute(text("LOCK TABLE events"))
            db.execute(text("LOCK TABLE events"))

    def die(db: Db) -> None:
        insert(db, "ana@example.com")
        raise ZeroDivisionError

    def lose_the_connection(db: Db) -> None:
        insert(db, "ana@example.com")
        look(live, DROP_THE_OTHERS)
        db.scalar(text("SELECT 1"))

    def lose_the_commit(db: Db) -> None:
        insert(db, "ana@example.com")
        look(live, DROP_THE_OTHERS)

    def break_a_rule_of_ours(db: Db) -> None:
        db.execute(text("INSERT INTO users (id, email, password_hash) VALUES (1, 'a', 'x'), (1, 'b', 'x')"))

    def take_an_address_twice(db: Db) -> None:
        insert(db, "ana@example.com")
        insert(db, "ana@example.com")

    for route in (
        die,
        lose_the_connection,
        lose_the_commit,
        break_a_rule_of_ours,
        take_an_address_twice,
        take_too_long,
        wait_for_a_table,
    ):
        app.add_api_route(f"/{route.__name__}", route)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("route", "status", "slug"),
    [
        ("die", 500, "internal-error"),
        ("lose_the_connection", 503, "unavailable"),
        ("lose_the_commit", 503, "unavailable"),
        ("take_too_long", 503, "unavailable"),
        ("wait_for_a_table", 503, "unavailable"),
        ("break_a_rule_of_ours", 500, "internal-error"),
        ("take_an_address_twice", 409, "email-taken"),
    ],
)
async def test_a_request_that_dies_in_the_middle_says_so_and_leaves_nothing(
    live: Store, client: TestClient, route: str, status: int, slug: str
) -> None:
    answer = client.get(f"/{route}")
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == ("2" if status == 503 else None)
    assert "ana@example.com" not in answer.text
    assert (look(live, OPEN), emails(live)) == (0, [])
    store = client.app.state.store  # type: ignore[attr-defined]
    assert (store.gate.inside, store.engine.pool.checkedout()) == (0, 0)
    assert client.get("/api/v1/events").status_code == 200


async def test_the_transaction_of_a_request_ends_before_its_answer_leaves() -> None:
    assert Depends(transaction, scope="function") in Db.__metadata__  # type: ignore[attr-defined]
