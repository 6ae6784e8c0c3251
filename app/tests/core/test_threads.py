"""Threads that take work from the event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import anyio
import pytest

from app.core import threads
from app.core.threads import ThreadPool

pytestmark = pytest.mark.anyio

NAME = "test-pool"
said: ContextVar[str] = ContextVar("said", default="nothing")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Yield two threads."""
    pool = ThreadPool(2, NAME)
    yield pool
    pool.close()


def alive() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(NAME))


async def test_work_is_done_in_a_thread_that_begins_with_it_and_ends_with_the_pool(pool: ThreadPool) -> None:
    assert alive() == []
    assert (await pool.run(threading.current_thread)).name.startswith(NAME)
    assert alive() == [f"{NAME}-0", f"{NAME}-1"]
    pool.close()
    assert alive() == []


async def test_as_many_work_at_once_as_there_are_threads(pool: ThreadPool) -> None:
    meeting = threading.Barrier(2, timeout=5)
    places = await asyncio.gather(pool.run(meeting.wait), pool.run(meeting.wait))
    assert sorted(places) == [0, 1]


async def test_a_failure_is_raised_to_who_asked_and_the_thread_goes_on(pool: ThreadPool) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)
    assert await pool.run(lambda: "still here") == "still here"


async def test_a_failure_that_no_future_takes_is_told_as_another(pool: ThreadPool) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.run(lambda: next(iter([])))
    assert await pool.run(lambda: "still here") == "still here"


async def test_threads_that_have_ended_take_no_work(pool: ThreadPool) -> None:
    assert await pool.run(lambda: "done") == "done"
    pool.close()
    with pytest.raises(RuntimeError, match="have ended"):
        await pool.run(lambda: "never done")


async def test_a_thread_that_is_stuck_does_not_stop_the_end(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "SECONDS_TO_END", 0.1)
    may_end = threading.Event()
    stuck = asyncio.create_task(pool.run(lambda: may_end.wait(10)))
    await asyncio.sleep(0.05)
    pool.close()
    assert len(alive()) == 1
    may_end.set()
    assert await stuck


async def test_work_knows_what_whoever_asked_for_it_knows(pool: ThreadPool) -> None:
    said.set("hello")
    assert await pool.run(said.get) == "hello"

    await pool.run(lambda: said.set("said in a thread"))
    assert said.get() == "hello"


@pytest.mark.parametrize("by", ["the scope", "the task"])
async def test_whoever_is_cancelled_waits_until_the_thread_is_free(pool: ThreadPool, by: str) -> None:
    may_end, began = threading.Event(), asyncio.Event()
    loop, done = asyncio.get_running_loop(), []

    def work() -> None:
        loop.call_soon_threadsafe(began.set)
        done.append(may_end.wait(5))

    async def ask(scope: anyio.CancelScope) -> None:
        with scope:
            await pool.run(work)

    scope = anyio.CancelScope()
    asking = asyncio.create_task(ask(scope))
    await began.wait()
    (scope if by == "the scope" else asking).cancel()
    await asyncio.sleep(0.05)
    assert not asking.done()
    may_end.set()
    await asyncio.wait([asking], timeout=5)
    assert done == [True]
    assert asking.cancelled() == (by == "the task")


async def test_a_loop_that_has_ended_is_told_nothing(pool: ThreadPool) -> None:
    may_end, began = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(5)

    def leave_early() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(pool.run(work))
        loop.run_until_complete(asyncio.sleep(0.05))
        # Nobody will ask what became of it.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        loop.close()

    await asyncio.to_thread(leave_early)
    assert began.is_set()
    may_end.set()
    assert await pool.run(lambda: "the thread goes on") == "the thread goes on"
