"""What the group commit promises, whatever it serves."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from app.core.coalescing import Counters, GroupCommit
from app.core.exceptions import Overloaded

LONG = 10


class Counter:
    """Serve strings at a counter that a test can shut, and keep what came in which batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.busy = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def serve(self, members: Sequence[str]) -> Sequence[str | Exception]:
        self.batches.append(list(members))
        self.threads.add(threading.get_ident())
        self.busy.set()
        assert self.open.wait(LONG)
        for member in members:
            if member.startswith("breaks"):
                raise ValueError(member)
            if member.startswith("down"):
                raise ConnectionError(member)
        return [
            ValueError(member) if member.startswith("refused") else f"{member} done" for member in members
        ]

    def shut(self) -> None:
        self.busy.clear()
        self.open.clear()


@pytest.fixture
def counter() -> Counter:
    return Counter()


Group = GroupCommit[str, str]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not holds():  # noqa: ASYNC110 - what it waits for happens in another thread
            await asyncio.sleep(0.001)


async def behind(counter: Counter, group: Group, members: Sequence[str]) -> list[asyncio.Task[str]]:
    """Submit ``members`` in order while a batch of one is served, then let it end."""
    counter.shut()
    first = asyncio.create_task(group.submit("first"))
    await until(counter.busy.is_set)
    tasks = [asyncio.create_task(group.submit(member)) for member in members]
    await until(lambda: group.waiting == len(members))
    counter.open.set()
    await first
    return tasks


async def settled(tasks: Sequence[Coroutine[Any, Any, str] | asyncio.Task[str]]) -> list[str | BaseException]:
    async with asyncio.timeout(LONG):
        return await asyncio.gather(*tasks, return_exceptions=True)


def test_one_alone_is_a_batch_of_one_and_waits_for_nothing(counter: Counter) -> None:
    async def scenario() -> Counters:
        async with Group(counter.serve, queue=10) as group:
            assert await group.submit("a") == "a done"
            assert await group.submit("b") == "b done"
            return group.counters

    counters = asyncio.run(scenario())
    assert counter.batches == [["a"], ["b"]]
    assert counters.longest_wait < 0.5


def test_those_who_come_meanwhile_are_served_together_in_order_of_arrival(counter: Counter) -> None:
    members = [f"m{number}" for number in range(50)]

    async def scenario() -> list[str | BaseException]:
        async with Group(counter.serve, queue=100) as group:
            return await settled(await behind(counter, group, members))

    assert asyncio.run(scenario()) == [f"{member} done" for member in members]
    assert counter.batches == [["first"], members]


def test_all_is_served_in_one_thread_and_not_on_the_event_loop(counter: Counter) -> None:
    async def scenario() -> None:
        async with Group(counter.serve, queue=100) as group:
            for _ in range(3):
                await settled([group.submit("a"), group.submit("b")])

    asyncio.run(scenario())
    assert len(counter.threads) == 1
    assert threading.get_ident() not in counter.threads


def test_each_gets_an_outcome_of_its_own_and_a_refusal_is_raised(counter: Counter) -> None:
    async def scenario() -> list[str | BaseException]:
        async with Group(counter.serve, queue=10) as group:
            return await settled(await behind(counter, group, ["a", "refused", "b"]))

    a, refused, b = asyncio.run(scenario())
    assert (a, b) == ("a done", "b done")
    assert isinstance(refused, ValueError)
    assert counter.batches == [["first"], ["a", "refused", "b"]]


def test_a_batch_that_fails_is_served_one_by_one_and_only_the_bad_one_fails(counter: Counter) -> None:
    async def scenario() -> tuple[list[str | BaseException], Counters]:
        async with Group(counter.serve, queue=10) as group:
            return await settled(await behind(counter, group, ["a", "breaks", "b"])), group.counters

    (a, broken, b), counters = asyncio.run(scenario())
    assert (a, b) == ("a done", "b done")
    assert isinstance(broken, ValueError)
    assert counter.batches == [["first"], ["a", "breaks", "b"], ["a"], ["breaks"], ["b"]]
    assert counters.retried_one_by_one == 3


def test_one_alone_that_fails_is_not_served_again(counter: Counter) -> None:
    async def scenario() -> list[str | BaseException]:
        async with Group(counter.serve, queue=10) as group:
            return await settled([group.submit("breaks")])

    assert isinstance(asyncio.run(scenario())[0], ValueError)
    assert counter.batches == [["breaks"]]


def test_what_would_meet_all_reaches_all_without_a_second_try(counter: Counter) -> None:
    async def scenario() -> list[str | BaseException]:
        async with Group(counter.serve, queue=10, common=(ConnectionError,)) as group:
            outcomes = await settled(await behind(counter, group, ["a", "down", "b"]))
            assert await group.submit("later") == "later done"
            return outcomes

    assert [type(outcome) for outcome in asyncio.run(scenario())] == [
        ConnectionError,
        ConnectionError,
        ConnectionError,
    ]
    assert counter.batches == [["first"], ["a", "down", "b"], ["later"]]


def test_too_few_outcomes_fail_nobody_but_whom_they_belong_to() -> None:
    def serve(members: Sequence[str]) -> list[str]:
        return [f"{member} done" for member in members if member != "lost"]

    async def scenario() -> list[str | BaseException]:
        async with Group(serve, queue=10) as group:
            return await settled([group.submit(member) for member in ("a", "lost", "b")])

    a, lost, b = asyncio.run(scenario())
    assert (a, b) == ("a done", "b done")
    assert isinstance(lost, RuntimeError)


def test_past_the_bound_the_answer_is_immediate(counter: Counter) -> None:
    async def scenario() -> tuple[list[str | BaseException], int]:
        async with Group(counter.serve, queue=3) as group:
            counter.shut()
            served = asyncio.create_task(group.submit("first"))
            await until(counter.busy.is_set)
            waiting = [asyncio.create_task(group.submit(f"m{number}")) for number in range(3)]
            await until(lambda: group.waiting == 3)
            # The counter is shut, so whoever is answered now has not waited for it.
            for _ in range(2):
                with pytest.raises(Overloaded):
                    await group.submit("too many")
            counter.open.set()
            return await settled([served, *waiting]), group.counters.refused

    outcomes, refused = asyncio.run(scenario())
    assert outcomes == ["first done", "m0 done", "m1 done", "m2 done"]
    assert refused == 2


def test_whoever_has_waited_for_too_long_is_refused_while_a_batch_hangs(counter: Counter) -> None:
    async def scenario() -> tuple[list[str | BaseException], int]:
        async with Group(counter.serve, queue=10, patience=0.05) as group:
            counter.shut()
            served = asyncio.create_task(group.submit("served"))
            await until(counter.busy.is_set)
            early = [asyncio.create_task(group.submit(member)) for member in ("a", "b")]
            await asyncio.sleep(0.03)
            late = asyncio.create_task(group.submit("c"))
            refused = await settled([*early, late])
            assert group.waiting == 0
            counter.open.set()
            assert await served == "served done"
            assert await group.submit("later") == "later done"
            return refused, group.counters.refused

    outcomes, refused = asyncio.run(scenario())
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 3
    assert refused == 3
    assert counter.batches == [["served"], ["later"]]


def test_whoever_would_wait_for_too_long_is_refused_on_arrival() -> None:
    def slowly(members: Sequence[str]) -> list[str]:
        time.sleep(0.1)
        return [f"{member} done" for member in members]

    async def scenario() -> float:
        async with Group(slowly, queue=1_000, patience=0.15, largest=1) as group:
            for _ in range(10):
                await group.submit("a")
            tasks = [asyncio.create_task(group.submit("b")) for _ in range(20)]
            await asyncio.sleep(0)
            began = asyncio.get_running_loop().time()
            with pytest.raises(Overloaded):
                await group.submit("too late")
            waited = asyncio.get_running_loop().time() - began
            assert {"b done", Overloaded} >= {
                outcome if isinstance(outcome, str) else type(outcome) for outcome in await settled(tasks)
            }
            return waited

    assert asyncio.run(scenario()) < 0.1


def test_a_queue_of_none_still_serves_one_at_a_time(counter: Counter) -> None:
    async def scenario() -> list[str | BaseException]:
        async with Group(counter.serve, queue=0) as group:
            counter.shut()
            served = asyncio.create_task(group.submit("first"))
            await until(lambda: counter.busy.is_set() or served.done())
            with pytest.raises(Overloaded):
                await group.submit("too many")
            counter.open.set()
            return await settled([served])

    assert asyncio.run(scenario()) == ["first done"]


def test_whoever_stops_waiting_is_served_all_the_same_and_disturbs_nobody(counter: Counter) -> None:
    async def scenario() -> list[str | BaseException]:
        async with Group(counter.serve, queue=10) as group:
            counter.shut()
            served = asyncio.create_task(group.submit("served"))
            await until(counter.busy.is_set)
            waiting = [asyncio.create_task(group.submit(member)) for member in ("a", "gone", "b")]
            await until(lambda: group.waiting == 3)
            served.cancel()
            waiting[1].cancel()
            await asyncio.sleep(0)
            counter.open.set()
            return await settled([served, *waiting])

    served, a, gone, b = asyncio.run(scenario())
    assert isinstance(served, asyncio.CancelledError)
    assert isinstance(gone, asyncio.CancelledError)
    assert (a, b) == ("a done", "b done")
    assert counter.batches == [["served"], ["a", "gone", "b"]]


def test_no_batch_is_larger_than_the_largest(counter: Counter) -> None:
    members = [f"m{number}" for number in range(25)]

    async def scenario() -> tuple[list[str | BaseException], Counters]:
        async with Group(counter.serve, queue=100, largest=10) as group:
            return await settled(await behind(counter, group, members)), group.counters

    outcomes, counters = asyncio.run(scenario())
    assert outcomes == [f"{member} done" for member in members]
    assert counter.batches == [["first"], members[:10], members[10:20], members[20:]]
    assert counters.largest_batch == 10


def test_at_the_end_all_who_were_taken_in_are_answered_and_nobody_more_is_taken(counter: Counter) -> None:
    async def scenario() -> tuple[list[str | BaseException], Counters]:
        group = Group(counter.serve, queue=10, largest=2)
        async with group:
            counter.shut()
            first = asyncio.create_task(group.submit("first"))
            await until(counter.busy.is_set)
            waiting = [asyncio.create_task(group.submit(f"m{number}")) for number in range(5)]
            await until(lambda: group.waiting == 5)
            closing = asyncio.create_task(group.__aexit__(None, None, None))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await group.submit("too late")
            assert not closing.done()
            counter.open.set()
            await closing
            assert all(task.done() for task in (first, *waiting))
            return await settled([first, *waiting]), group.counters

    outcomes, counters = asyncio.run(scenario())
    assert outcomes == ["first done", *(f"m{number} done" for number in range(5))]
    assert (counters.members, counters.refused) == (6, 1)


def test_the_counters_say_what_was_done(counter: Counter) -> None:
    async def scenario() -> Counters:
        async with Group(counter.serve, queue=10) as group:
            tasks = await behind(counter, group, ["a", "b", "c"])
            await settled(tasks)
            return group.counters

    counters = asyncio.run(scenario())
    assert (counters.batches, counters.members, counters.largest_batch) == (2, 4, 3)
    assert (counters.retried_one_by_one, counters.refused) == (0, 0)
    assert 0 < counters.longest_wait <= counters.waited < LONG
