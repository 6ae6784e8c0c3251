"""Questions that the event loop asks by itself."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from psycopg2.errors import LockNotAvailable, QueryCanceled
from sqlalchemy import DateTime, Integer, Text, bindparam, event, func, literal, literal_column, select, text
from sqlalchemy.exc import OperationalError

from app.core import questions
from app.core.database import Database, Store, TimeLimits
from app.core.exceptions import ReadOnlyDatabase
from app.core.questions import Lines, Question, Ready
from app.tests.conftest import migrated_database
from app.tests.core.test_database import DROP_THE_OTHERS, look

pytestmark = pytest.mark.anyio

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
# Who answers: each connection has a process of its own.
WHO = Ready(
    select(
        func.pg_backend_pid().label("pid"),
        bindparam("number", type_=Integer).label("number"),
        bindparam("moment", NOON, type_=DateTime(timezone=True)).label("moment"),
        literal("50% off: 'ñ'").label("fixed"),
    )
)
SLOW = Ready(select(func.pg_sleep(bindparam("seconds")).label("slept")))
LIMITS = Ready(
    select(
        func.current_setting("statement_timeout").label("statement"),
        func.current_setting("lock_timeout").label("lock"),
    )
)
EVENTS = Ready(select(literal_column("id").label("id")).select_from(text("events")))
SAID = Ready(select(bindparam("said", type_=Text).label("said")))
# Python's years end with 9999.
TOO_LATE = Ready(select(literal_column("timestamptz '20000-01-01 00:00Z'").label("moment")))


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module")
def live_url(direct_url: str, worker: str) -> Iterator[str]:
    """Yield a database at the server itself: a pooler would hide which of its processes answers."""
    with migrated_database(direct_url, f"mis_eventos_asked_{worker}") as url:
        yield url


def rows_as_they_are(rows: Sequence[Any]) -> Sequence[Any]:
    return rows


def who(number: int = 7) -> Question[Any]:
    return Question(WHO, {"number": number}, lambda rows: rows[0])


def slow(seconds: float) -> Question[Any]:
    return Question(SLOW, {"seconds": seconds}, rows_as_they_are)


def lines_of(store: Store) -> Lines:
    lines: Lines = store._lines  # noqa: SLF001
    return lines


async def opened(store: Store, number: int = questions.AT_ONCE) -> set[int]:
    """Have the event loop open its connections, and return who answers them."""
    lines = lines_of(store)
    with anyio.fail_after(10):
        while len(lines._free) < number:  # noqa: SLF001
            await asyncio.gather(*(store.ask(who()) for _ in range(number)))
            await asyncio.sleep(0.01)
    return {line._connection.get_backend_pid() for line in lines._lines}  # noqa: SLF001


@pytest.fixture(autouse=True)
def tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "SECONDS_BETWEEN_TRIES", 0.01)


async def test_the_first_to_ask_is_answered_the_usual_way_and_the_next_by_the_loop(live: Store) -> None:
    first = await live.ask(who())
    pids = await opened(live)
    later = [await live.ask(who(number)) for number in range(20)]
    assert first.pid not in pids
    assert {found.pid for found in later} <= pids
    assert [found.number for found in later] == [*range(20)]


async def test_both_ways_answer_the_same(live: Store) -> None:
    await opened(live)
    by_loop = await lines_of(live).ask(who())
    assert by_loop is not None
    usual = await live.look(who().ask)
    assert by_loop[0][1:] == usual[1:] == (7, NOON, "50% off: 'ñ'")
    assert (by_loop[0].number, by_loop[0].moment) == (usual.number, usual.moment)


async def test_whoever_finds_no_free_connection_goes_the_usual_way(live: Store) -> None:
    pids = await opened(live)
    busy = [asyncio.create_task(live.ask(slow(0.5))) for _ in range(questions.AT_ONCE)]
    await asyncio.sleep(0.1)
    assert live.connections_in_use == questions.AT_ONCE
    assert (await live.ask(who())).pid not in pids
    assert await asyncio.gather(*busy) == [[("",)]] * questions.AT_ONCE
    assert live.connections_in_use == 0
    assert (await live.ask(who())).pid in pids


async def test_there_are_never_more_of_them_than_may_be(live: Store) -> None:
    pids = await opened(live)
    await asyncio.gather(*(live.ask(who()) for _ in range(100)))
    await asyncio.sleep(0.1)
    assert len(pids) == questions.AT_ONCE
    assert await opened(live) == pids


async def test_an_observed_store_asks_where_it_is_seen(live: Store) -> None:
    pids, seen = await opened(live), []
    event.listen(live.engine, "before_cursor_execute", lambda *about: seen.append(about[2]))
    live.observed = True
    assert (await live.ask(who())).pid not in pids
    assert len(seen) == 1
    live.observed = False
    assert (await live.ask(who())).pid in pids
    assert len(seen) == 1


async def test_connections_lost_are_noticed_at_once_and_opened_anew(
    live: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pool's are asked first, too, so that each of those who go the usual way finds one.
    monkeypatch.setattr("app.core.database.TRUSTED_SECONDS", 0)
    before = await opened(live)
    look(live, DROP_THE_OTHERS)
    await asyncio.sleep(0.2)
    assert not lines_of(live)._lines  # noqa: SLF001
    after = await opened(live)
    assert len(after) == questions.AT_ONCE
    assert before.isdisjoint(after)


async def test_after_a_failover_none_goes_on_leading_to_a_standby(live: Store) -> None:
    def write(db: Database) -> None:
        db.execute(text("SET TRANSACTION READ ONLY"))
        db.execute(text("DELETE FROM users"))

    before = await opened(live)
    busy = asyncio.create_task(live.ask(slow(0.3)))
    await asyncio.sleep(0.1)
    with pytest.raises(ReadOnlyDatabase):
        await live.run(write)
    assert await busy == [("",)]
    after = {(await live.ask(who())).pid for _ in range(3)} | await opened(live)
    assert before.isdisjoint(after)


async def test_a_connection_lost_while_it_is_asked_is_not_noticed_by_who_asks(live: Store) -> None:
    pids = await opened(live)
    asked = [asyncio.create_task(live.ask(slow(1))) for _ in pids]
    await asyncio.sleep(0.2)
    drop = text("SELECT count(pg_terminate_backend(pid)) FROM unnest(CAST(:pids AS integer[])) AS pid")
    look(live, drop.bindparams(pids=[*pids]))
    # Each is asked once more, the usual way.
    assert await asyncio.gather(*asked) == [[("",)]] * len(pids)


async def test_a_statement_that_the_server_refuses_is_refused_as_usual(live: Store) -> None:
    broken = Ready(select((literal_column("1") / bindparam("by", type_=Integer)).label("number")))
    await opened(live)
    with pytest.raises(Exception, match="division by zero"):
        await live.ask(Question(broken, {"by": 0}, rows_as_they_are))
    assert len(await opened(live)) == questions.AT_ONCE


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Question(SAID, {"said": "\0"}, rows_as_they_are), "NUL"),
        (Question(TOO_LATE, {}, rows_as_they_are), "year 20000"),
    ],
    ids=["cannot be sent", "cannot be read"],
)
async def test_what_the_driver_cannot_do_is_an_error_as_usual_and_costs_no_connection(
    live: Store, asked: Question[Any], why: str
) -> None:
    pids = await opened(live)
    for _ in range(questions.AT_ONCE + 1):
        with anyio.fail_after(5), pytest.raises(ValueError, match=why):
            await live.ask(asked)
    assert await opened(live) == pids
    assert lines_of(live).busy == 0


async def test_who_stops_waiting_leaves_a_connection_that_others_can_use(live: Store) -> None:
    pids = await opened(live)
    with anyio.move_on_after(0.1):
        await asyncio.gather(*(live.ask(slow(0.4)) for _ in pids))
    assert lines_of(live).busy == len(pids)
    await asyncio.sleep(0.5)
    assert lines_of(live).busy == 0
    assert {(await live.ask(who(number))).pid for number in range(4)} <= pids


@pytest.mark.parametrize(
    ("asked", "limits", "reason"),
    [
        (slow(10), TimeLimits(statement=1), QueryCanceled),
        (Question(EVENTS, {}, rows_as_they_are), TimeLimits(lock=1), LockNotAvailable),
    ],
    ids=["slow", "held by somebody"],
)
async def test_what_takes_too_long_is_ended_and_not_asked_twice(
    live: Store, live_url: str, asked: Question[Any], limits: TimeLimits, reason: type[Exception]
) -> None:
    store = Store(live_url, pool_size=3, queue_size=10, limits=limits)
    pids = await opened(store)

    def hold(db: Database) -> None:
        db.execute(text("LOCK TABLE events"))
        time.sleep(2)

    holding = asyncio.create_task(live.run(hold))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(OperationalError) as ended:
        await store.ask(asked)
    assert isinstance(ended.value.orig, reason)
    assert time.monotonic() - began < 1.9
    # The server said so, and its connection is as good as before.
    assert await opened(store) == pids
    await holding
    store.close()


async def test_each_statement_is_limited_and_no_session_is(live_url: str) -> None:
    store = Store(live_url, pool_size=2, queue_size=10, limits=TimeLimits(statement=4, lock=2))
    await opened(store)
    question = Question(LIMITS, {}, rows_as_they_are)
    assert await lines_of(store).ask(question) == [("4s", "2s")]
    lines_of(store)._before = ""  # noqa: SLF001
    assert await lines_of(store).ask(question) == [("0", "0")]
    store.close()


async def test_a_server_that_is_away_is_tried_now_and_then_and_refuses_as_usual(
    live: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "SECONDS_BETWEEN_TRIES", 60)
    nowhere = Store("postgresql+psycopg2://nobody@127.0.0.1:1/nothing", pool_size=1, queue_size=10)
    tried = []
    open_line = nowhere._open_line  # noqa: SLF001

    def connect() -> Any:
        tried.append(1)
        return open_line()

    monkeypatch.setattr(lines_of(nowhere), "_connect", connect)
    for _ in range(5):
        with pytest.raises(OperationalError):
            await nowhere.ask(who())
    await asyncio.sleep(0.1)
    assert tried == [1]
    nowhere.close()


async def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "CONNECT_SECONDS", 0.2)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        store = Store(f"postgresql+psycopg2://nobody@127.0.0.1:{port}/nothing", pool_size=1, queue_size=1)
        lines = lines_of(store)
        began = time.monotonic()
        assert await lines.ask(who()) is None
        assert lines._opening is not None  # noqa: SLF001
        await lines._opening  # noqa: SLF001
        assert 0.1 < time.monotonic() - began < 2
        assert lines.busy == 0
        store.close()


async def test_a_loop_that_cannot_watch_over_connections_leaves_it_to_threads(
    live: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_reader(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", add_reader)
    for number in range(5):
        assert (await live.ask(who(number))).number == number
        await asyncio.sleep(0.02)
    assert lines_of(live)._closed  # noqa: SLF001


async def test_a_store_that_is_closed_opens_none_and_leaves_nobody_waiting(live_url: str) -> None:
    store = Store(live_url, pool_size=2, queue_size=10)
    pids = await opened(store)
    asked = [asyncio.create_task(store.ask(slow(5))) for _ in pids]
    await asyncio.sleep(0.1)
    store.close()
    for one in (*asked, store.ask(who())):
        with pytest.raises(RuntimeError, match="have ended"):
            await one
    assert not lines_of(store)._lines  # noqa: SLF001
    assert lines_of(store)._opening is None  # noqa: SLF001
