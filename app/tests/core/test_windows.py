"""Windows of time in which something is counted: in memory, and in a Redis that comes and goes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.windows import FEWEST_SWEPT, Away, Memory, Redis, Windows, windows_at
from app.tests.redis import RedisServer, needs_redis, redis_server

Use = Callable[[Windows], Awaitable[None]]


def used(url: str, use: Use) -> None:
    """Let ``use`` count in windows of its own."""

    async def run() -> None:
        counted = windows_at(url)
        try:
            await use(counted)
        finally:
            await counted.close()

    asyncio.run(run())


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("redis")
    return server.url


async def counts(counted: Windows, key: str, times: int, seconds: int = 60) -> list[int]:
    return [(await counted.hit(key, seconds))[0] for _ in range(times)]


def test_hits_are_counted_by_key(url: str) -> None:
    async def use(counted: Windows) -> None:
        assert await counts(counted, "a", 3) == [1, 2, 3]
        assert await counts(counted, "b", 1) == [1]
        assert await counts(counted, "a", 1) == [4]

    used(url, use)


def test_hits_that_come_at_once_are_all_counted(url: str) -> None:
    async def use(counted: Windows) -> None:
        found = await asyncio.gather(*(counted.hit("a", 60) for _ in range(200)))
        assert sorted(count for count, _ in found) == list(range(1, 201))

    used(url, use)


def test_a_window_ends_when_it_said_however_often_it_was_hit(url: str) -> None:
    async def use(counted: Windows) -> None:
        began = time.monotonic()
        assert (await counted.left("a"), await counted.is_open("a")) == (0, False)
        await counted.hit("a", 1)
        assert await counted.is_open("a")
        count = 0
        while time.monotonic() - began < 0.7:
            count, _ = await counted.hit("a", 1)
            await asyncio.sleep(0.01)
        assert count > 5
        assert await counted.left("a") <= 1
        await asyncio.sleep(1.5)
        assert await counts(counted, "a", 1) == [1]

    used(url, use)


def test_a_window_that_is_forgotten_begins_anew(url: str) -> None:
    async def use(counted: Windows) -> None:
        await counts(counted, "a", 3)
        await counted.forget("a")
        await counted.forget("never was")
        assert await counts(counted, "a", 1) == [1]

    used(url, use)


def test_memory_tells_what_is_left_and_redis_is_not_asked_twice_for_it() -> None:
    async def use(counted: Windows) -> None:
        _, left = await counted.hit("a", 60)
        assert left == 60

    used("memory://", use)


def test_memory_forgets_windows_that_are_over_and_no_other() -> None:
    now = 0.0
    counted = Memory(lambda: now)

    async def use() -> None:
        nonlocal now
        largest = 0
        await counted.hit("long", 10_000)
        for number in range(20 * FEWEST_SWEPT):
            now += 0.1
            await counted.hit(f"short {number}", 10)
            largest = max(largest, len(counted))
        assert largest <= FEWEST_SWEPT
        assert await counts(counted, "long", 1) == [2]

    asyncio.run(use())


def test_memory_keeps_every_window_that_is_open_however_many_there_are() -> None:
    async def use(counted: Windows) -> None:
        keys = [str(number) for number in range(5 * FEWEST_SWEPT)]
        for _ in range(2):
            for key in keys:
                await counted.hit(key, 60)
        assert {(await counted.hit(key, 60))[0] for key in keys} == {3}

    used("memory://", use)


# A Redis that comes and goes


@contextmanager
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Yield what the log has said since, without the numbers."""
    with caplog.at_level(logging.WARNING, logger="app.core.windows"):
        yield lambda: [
            record.getMessage().split(" (")[0].split(", after")[0]
            for record in caplog.records
            if record.name == "app.core.windows"
        ]


async def ask(counted: Windows) -> bool:
    """Tell whether somebody counts."""
    try:
        await counted.hit("a", 60)
    except Away:
        return False
    return True


async def until_back(counted: Windows) -> float:
    """Wait until somebody counts again, and return how many seconds that took."""
    began = time.monotonic()
    while not await ask(counted):
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
    return time.monotonic() - began


@needs_redis
def test_a_redis_that_was_killed_is_away_and_back_by_itself_and_the_log_says_so_once(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(counted: Windows) -> None:
        with told(caplog) as said:
            for _ in range(2):
                caplog.clear()
                assert await asyncio.gather(*(ask(counted) for _ in range(50))) == [True] * 50
                redis.kill()
                assert await asyncio.gather(*(ask(counted) for _ in range(50))) == [False] * 50
                await asyncio.sleep(1.2)
                assert await asyncio.gather(*(ask(counted) for _ in range(50))) == [False] * 50
                assert said() == ["the Redis of the rate limits is away"]
                redis.start()
                assert await until_back(counted) < 1.5
                assert await asyncio.gather(*(ask(counted) for _ in range(50))) == [True] * 50
                assert said() == [
                    "the Redis of the rate limits is away",
                    "the Redis of the rate limits is back",
                ]

    used(redis.url, use)


@needs_redis
def test_a_redis_that_hangs_holds_nobody_up_for_long(redis: RedisServer) -> None:
    async def use(counted: Windows) -> None:
        assert await ask(counted)
        redis.freeze()
        began = time.monotonic()
        assert await asyncio.gather(*(ask(counted) for _ in range(500))) == [False] * 500
        assert time.monotonic() - began < 2
        began = time.monotonic()
        assert await asyncio.gather(*(ask(counted) for _ in range(500))) == [False] * 500
        assert time.monotonic() - began < 0.3
        redis.thaw()
        assert await until_back(counted) < 2.5

    used(redis.url, use)


@needs_redis
def test_a_redis_that_is_not_there_yet_is_away_and_no_failure(redis: RedisServer) -> None:
    redis.kill()

    async def use(counted: Windows) -> None:
        assert not await ask(counted)
        for question in (counted.left("a"), counted.is_open("a"), counted.forget("a")):
            with pytest.raises(Away):
                await question
        redis.start()
        await until_back(counted)

    used(redis.url, use)


@needs_redis
def test_a_redis_that_refuses_us_is_away_and_its_password_is_not_told(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(counted: Windows) -> None:
        assert isinstance(counted, Redis)
        with told(caplog) as said:
            assert not await ask(counted)
            assert said() == ["the Redis of the rate limits is away"]
        assert "a-password-of-redis" not in caplog.text

    used(redis.url.replace("//", "//ana:a-password-of-redis@"), use)
