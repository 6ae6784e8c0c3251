"""The Redis of the rate limits, killed and started again under traffic: who is refused, how, for how long.

Two processes share it, as two machines would. With `-s` this prints what was answered and when.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.database import Store
from app.tests.factories import PASSWORD, Factory, claims_of
from app.tests.redis import RedisServer, needs_redis, redis_server
from app.tests.rush import TOKENS, Answer, Client, Person, Server, serving

pytestmark = needs_redis

CALLERS = 8
PHASE_SECONDS = 3.0
# Redis is asked once a second whether it is back; the rest is for a busy machine.
RECOVERY_SECONDS = 4.0
LONGEST_SECONDS = 10.0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def person(live: Store) -> Person:
    with live.job() as db:
        user = Factory(db).user(email="ana@example.com")
        return Person(user.id, TOKENS.issue(claims_of(user)))


@dataclass(frozen=True)
class Call:
    """What was asked, when, and what came of it."""

    what: str
    began: float
    took: float
    answer: Answer


async def call(client: Client, what: str, person: Person) -> Call:
    began = time.monotonic()
    if what == "read":
        answer = await client.call(None, "GET", "/events")
    elif what == "write":
        answer = await client.call(person, "PATCH", "/users/me", command={"full_name": "Ana"})
    else:
        body = {"email": "ana@example.com", "password": PASSWORD}
        answer = await client.call(None, "POST", "/auth/login", command=body)
    return Call(what, began, time.monotonic() - began, answer)


def outcomes(calls: list[Call], since: float, until: float) -> dict[str, Counter[str]]:
    """Count what was answered to calls that began and ended within a time, by what was asked."""
    found: dict[str, Counter[str]] = {}
    for made in calls:
        if since <= made.began and made.began + made.took < until:
            found.setdefault(made.what, Counter())[made.answer.outcome] += 1
    return found


def test_two_instances_share_what_redis_counts(live: Store, live_url: str, redis: RedisServer) -> None:
    with ExitStack() as stack:
        limits = {"RATE_LIMITS_URL": redis.url, "RATE_LIMIT_READS": "10/hour"}
        servers = [stack.enter_context(serving(live_url, workers=1, **limits)) for _ in range(2)]

        async def take_turns() -> list[int]:
            clients = [Client(server) for server in servers]
            answers = [await clients[turn % 2].call(None, "GET", "/events") for turn in range(14)]
            return [answer.status for answer in answers]

        assert asyncio.run(take_turns()) == [200] * 10 + [429] * 4


def test_without_its_redis_the_service_reads_and_writes_and_signs_nobody_in(
    live_url: str, redis: RedisServer, person: Person
) -> None:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving(live_url, workers=1, RATE_LIMITS_URL=redis.url)) for _ in range(2)
        ]
        calls, killed, started, ended = asyncio.run(_traffic(servers, redis, person))
    before = outcomes(calls, 0, killed)
    away = outcomes(calls, killed + 0.1, started)
    after = outcomes(calls, started + RECOVERY_SECONDS, ended)
    back = min(
        made.began
        for made in calls
        if made.began > started and (made.what, made.answer.status) == ("sign-in", 200)
    )
    for when, found in (("before", before), ("away", away), ("after", after)):
        met = "; ".join(f"{what} {dict(answers)}" for what, answers in sorted(found.items()))
        sys.stdout.write(f"\n{when}: {met}")
    sys.stdout.write(f"\nsigned in again {back - started:.1f} s after the start of Redis")
    sys.stdout.write(f"\nthe longest call took {max(made.took for made in calls):.2f} s\n")
    assert {what: set(met) for what, met in before.items()} == {
        "read": {"200"},
        "write": {"200"},
        "sign-in": {"200"},
    }
    assert {what: set(met) for what, met in away.items()} == {
        "read": {"200"},
        "write": {"200"},
        "sign-in": {"503 unavailable"},
    }
    assert {what: set(met) for what, met in after.items()} == {
        "read": {"200"},
        "write": {"200"},
        "sign-in": {"200"},
    }
    refused = [made.answer for made in calls if made.answer.status == 503]
    assert {answer.headers["Retry-After"] for answer in refused} == {"2"}
    # A request that Redis had taken in when it was killed is answered all the same, and nothing is a failure.
    assert {made.answer.status for made in calls} == {200, 503}
    assert {made.what for made in calls if made.answer.status == 503} == {"sign-in"}
    assert max(made.took for made in calls) < LONGEST_SECONDS


async def _traffic(
    servers: list[Server], redis: RedisServer, person: Person
) -> tuple[list[Call], float, float, float]:
    """Let callers ask all the time while Redis is killed and started again."""
    calls: list[Call] = []
    over = asyncio.Event()

    async def keep_asking(client: Client, what: str) -> None:
        while not over.is_set():
            calls.append(await call(client, what, person))
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            for what in ("read", "write", "sign-in"):
                group.create_task(keep_asking(Client(servers[number % 2]), what))
        await asyncio.sleep(PHASE_SECONDS)
        redis.kill()
        killed = time.monotonic()
        await asyncio.sleep(PHASE_SECONDS)
        await asyncio.to_thread(redis.start)
        started = time.monotonic()
        await asyncio.sleep(PHASE_SECONDS + RECOVERY_SECONDS)
        over.set()
    return calls, killed, started, time.monotonic()
