"""More than can be served: what is served is served in time, and the rest is told so at once."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app import services
from app.core.database import Store, TimeLimits
from app.core.exceptions import Overloaded
from app.models import Event
from app.schemas.registrations import Application, RegistrationMade
from app.schemas.seats import SeatRead
from app.tests.factories import Factory, claims_of
from app.tests.rush import Answer, Client, Person, crowd, let_in, opened, serving

LOCK_SECONDS = 0.3
TOO_LONG = 5.0


# A row that somebody holds


@pytest.fixture
def limited(live: Store, live_url: str) -> Iterator[Store]:
    """Yield connections that wait for nobody's row for long."""
    store = Store(live_url, pool_size=2, queue_size=10, limits=TimeLimits(lock=LOCK_SECONDS))
    yield store
    store.close()


@contextmanager
def held(engine: Engine, table: str, key: int) -> Iterator[None]:
    """Hold a row, as a forgotten BEGIN in somebody's psql does."""
    with engine.connect() as connection:
        connection.execute(text(f"SELECT id FROM {table} WHERE id = {key} FOR UPDATE"))
        yield


def timed(work: Callable[[], Sequence[Any]]) -> tuple[list[type], float]:
    began = time.monotonic()
    outcomes = [type(outcome) for outcome in work()]
    return outcomes, time.monotonic() - began


def test_an_event_that_somebody_holds_holds_up_no_other(live: Store, limited: Store) -> None:
    with live.job() as db:
        make = Factory(db)
        user = make.user()
        busy, free, full = make.event(), make.event(), make.event(capacity_total=1)
        make.registration(full)
        events = [busy.id, free.id, full.id, 2**31 - 1]
    batch = [Application(claims_of(user), event_id) for event_id in events]
    admit = limited.serving(services.registrations.admit)
    with held(live.engine, "events", busy.id):
        outcomes, took = timed(lambda: admit(batch))
    assert outcomes[:2] == [Overloaded, RegistrationMade]
    assert outcomes[2].__name__ == "EventFull"
    assert LOCK_SECONDS < took < TOO_LONG
    assert timed(lambda: admit(batch[:1]))[0] == [RegistrationMade]


@pytest.mark.parametrize("table", ["events", "sessions"])
def test_a_session_that_somebody_holds_holds_up_no_other(live: Store, limited: Store, table: str) -> None:
    with live.job() as db:
        make = Factory(db)
        user = make.user()
        sessions = [make.session(make.event()) for _ in range(2)]
        for session in sessions:
            make.registration(db.get_one(Event, session.event_id), user)
        keys = {"events": sessions[0].event_id, "sessions": sessions[0].id}
    batch = [Application(claims_of(user), session.id) for session in sessions]
    take = limited.serving(services.seats.take)
    with held(live.engine, table, keys[table]):
        outcomes, took = timed(lambda: take(batch))
    assert outcomes == [Overloaded, SeatRead]
    assert LOCK_SECONDS < took < TOO_LONG


def test_another_lock_than_that_of_a_door_is_given_up_for_the_whole_batch(
    live: Store, limited: Store
) -> None:
    with live.job() as db:
        make = Factory(db)
        batch = [Application(claims_of(make.user()), make.event().id)]
    with live.engine.connect() as holder:
        holder.execute(text("LOCK TABLE registrations"))
        with pytest.raises(OperationalError):
            limited.serving(services.registrations.admit)(batch)


# A flood


async def clocked(call: Coroutine[Any, Any, Answer]) -> tuple[Answer, float]:
    began = time.monotonic()
    return await call, time.monotonic() - began


def flood(
    server_url: str, people: Sequence[Person], tickets: Sequence[str], event_id: int, **settings: str
) -> tuple[list[tuple[Answer, float]], list[tuple[Answer, float]]]:
    """Let everybody read their registrations at once, and the tickets be scanned meanwhile, one by one."""

    async def read(client: Client, person: Person) -> list[tuple[Answer, float]]:
        return [await clocked(client.call(person, "GET", "/registrations/me")) for _ in range(3)]

    async def scan(client: Client) -> list[tuple[Answer, float]]:
        await asyncio.sleep(0.3)
        path = f"/events/{event_id}/check-ins"
        return [
            await clocked(client.call(people[0], "POST", path, command={"ticket_code": code}))
            for code in tickets
        ]

    async def all_at_once() -> tuple[list[tuple[Answer, float]], list[tuple[Answer, float]]]:
        scanned, *lists = await asyncio.gather(scan(client), *(read(client, person) for person in people))
        return [one for answers in lists for one in answers], scanned

    with serving(server_url, workers=1, DB_POOL_SIZE="1", **settings) as server:
        client = Client(server)
        return asyncio.run(all_at_once())


@pytest.fixture
def door(live: Store) -> tuple[list[Person], list[str], int]:
    """Make a crowd, and an event of the first of them with tickets."""
    people = crowd(live, 200)
    event_id = opened(live, people[0], 200)
    let_in(live, people[:10], event_id)
    return people, [f"{event_id}-{person.id}" for person in people[:10]], event_id


def test_a_flood_is_served_in_time_or_refused_and_the_door_goes_on(
    live_url: str, door: tuple[list[Person], list[str], int]
) -> None:
    read, scanned = flood(live_url, *door, QUEUE_TIMEOUT="3", DB_QUEUE_SIZE="50")
    refused = [answer for answer, _ in read if answer.status == 503]
    assert {answer.outcome for answer, _ in read} == {"200", "503 overloaded"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert [answer.status for answer, _ in scanned] == [201] * 10
    # Whoever is at the door waits for one turn of the public, and not for all of them.
    assert median(took for _, took in scanned) < median(took for answer, took in read if answer.status == 200)


def test_whoever_hangs_up_while_waiting_is_not_served(
    live: Store, live_url: str, door: tuple[list[Person], list[str], int]
) -> None:
    people, _, event_id = door

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.cancel(people[1], event_id)

    async def scenario() -> Answer:
        with held(live.engine, "registrations", first):
            waits = asyncio.create_task(client.cancel(people[0], event_id))
            await asyncio.sleep(0.5)
            await give_up()
        await waits
        return await client.call(people[1], "GET", "/registrations/me")

    with live.job() as db:
        first = db.scalar(text(f"SELECT id FROM registrations WHERE user_id = {people[0].id}"))
    with serving(live_url, workers=1, DB_POOL_SIZE="1", LOCK_TIMEOUT="30") as server:
        client = Client(server)
        (mine,) = asyncio.run(scenario()).body["items"]
    assert mine["status"] == "CONFIRMED"
