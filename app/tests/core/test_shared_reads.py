"""What shared reads promise, whatever they look at."""

import asyncio
import gc
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from app.core.coalescing import SharedReads
from app.core.exceptions import Overloaded

LONG = 10


class Shelf:
    """Things that are looked at, each look as long as a test likes."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.looks: list[str] = []
        self.seen = asyncio.Semaphore(0)
        self.held: dict[str, asyncio.Event] = {}

    def hold(self, key: str) -> asyncio.Event:
        self.held[key] = asyncio.Event()
        return self.held[key]

    async def look(self, key: str) -> str:
        self.looks.append(key)
        value = self.values.get(key, "")
        self.seen.release()
        if key in self.held:
            await self.held[key].wait()
        if value == "broken":
            raise ValueError(key)
        return value


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LONG):
            await scenario

    asyncio.run(bounded())


async def ask(reads: SharedReads[str, str], key: str, readers: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(reads.get(key)) for _ in range(readers)]
    await asyncio.sleep(0)
    return tasks


def test_a_lone_reader_looks_at_once() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values["a"] = "one"
        assert await SharedReads(shelf.look, queue=1).get("a") == "one"
        assert shelf.looks == ["a"]

    run(scenario())


def test_whoever_comes_during_a_look_shares_the_next_one_and_sees_what_changed_before() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values["a"] = "before"
        reads = SharedReads(shelf.look, queue=100)
        gate = shelf.hold("a")
        first = await ask(reads, "a", 1)
        await shelf.seen.acquire()
        shelf.values["a"] = "after"
        later = await ask(reads, "a", 50)
        gate.set()
        assert await asyncio.gather(*first) == ["before"]
        assert await asyncio.gather(*later) == ["after"] * 50
        assert shelf.looks == ["a", "a"]

    run(scenario())


def test_nothing_is_kept_for_those_who_come_after() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        reads = SharedReads(shelf.look, queue=1)
        for value in ("one", "two"):
            shelf.values["a"] = value
            assert await reads.get("a") == value
        assert shelf.looks == ["a", "a"]

    run(scenario())


def test_a_slow_key_holds_up_no_other() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values.update(slow="slow", quick="quick")
        reads = SharedReads(shelf.look, queue=10)
        gate = shelf.hold("slow")
        slow = await ask(reads, "slow", 2)
        assert await reads.get("quick") == "quick"
        assert [task.done() for task in slow] == [False, False]
        gate.set()
        assert await asyncio.gather(*slow) == ["slow", "slow"]

    run(scenario())


def test_a_reader_who_leaves_takes_nothing_from_the_others() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values["a"] = "one"
        reads = SharedReads(shelf.look, queue=10)
        gate = shelf.hold("a")
        left, stayed = await ask(reads, "a", 2)
        left.cancel()
        gate.set()
        assert await stayed == "one"
        assert left.cancelled()
        assert reads.waiting == 0

    run(scenario())


def test_readers_who_have_all_gone_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values["a"] = "broken"
        reads = SharedReads(shelf.look, queue=10)
        gate = shelf.hold("a")
        # One who looks, and two who wait for the next look.
        gone = [*await ask(reads, "a", 1), *await ask(reads, "a", 2)]
        for reader in gone:
            reader.cancel()
        await asyncio.wait(gone)
        assert reads.waiting == 0
        gate.set()
        shelf.values["a"] = "mended"
        assert await reads.get("a") == "mended"

    run(scenario())
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_failure_is_told_to_all_who_shared_the_look_and_to_nobody_after() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values["a"] = "broken"
        reads = SharedReads(shelf.look, queue=10)
        failed = await asyncio.gather(*await ask(reads, "a", 3), return_exceptions=True)
        assert [type(outcome) for outcome in failed] == [ValueError] * 3
        shelf.values["a"] = "mended"
        assert await reads.get("a") == "mended"

    run(scenario())


def test_past_the_bound_a_reader_is_refused_at_once() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        reads = SharedReads(shelf.look, queue=2)
        gate = shelf.hold("a")
        looking = await ask(reads, "a", 1)
        waiting = await ask(reads, "a", 2)
        with pytest.raises(Overloaded):
            await reads.get("a")
        assert await reads.get("b") == ""
        gate.set()
        await asyncio.gather(*looking, *waiting)
        assert await reads.get("a") == ""

    run(scenario())


def test_whoever_waits_too_long_for_a_look_to_begin_is_refused() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.values["a"] = "one"
        reads = SharedReads(shelf.look, queue=10, patience=0.05)
        gate = shelf.hold("a")
        looking = await ask(reads, "a", 1)
        waiting = await asyncio.gather(*await ask(reads, "a", 3), return_exceptions=True)
        assert [type(outcome) for outcome in waiting] == [Overloaded] * 3
        # The look that has begun is not given up.
        gate.set()
        assert await asyncio.gather(*looking) == ["one"]
        assert reads.waiting == 0
        assert await reads.get("a") == "one"

    run(scenario())
