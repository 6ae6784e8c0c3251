"""Shared reads under fire: whoever asks sees at least all that was committed before. With its control."""

import asyncio
from collections.abc import Callable, Iterator
from random import random
from typing import Any

import pytest

from app.core.database import Store
from app.tests.factories import soon
from app.tests.rush import Client, Person, Server, crowd, opened, serving

READERS = 50
EDITS = 12

Shown = Callable[[Any], str]


@pytest.fixture
def owner(live: Store) -> Person:
    return crowd(live, 1)[0]


@pytest.fixture(scope="module")
def server(live_url: str) -> Iterator[Server]:
    with serving(live_url, workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def stale(live_url: str) -> Iterator[Server]:
    with serving(live_url, workers=1, app="app.tests.unguarded:app", WITHOUT="freshness") as server:
        yield server


async def _race(server: Server, owner: Person, event_id: int, route: str) -> int:
    """Edit one thing again and again while many read it, and count the readers who saw too little."""
    client = Client(server)
    begins = {"start_at": soon(30).isoformat(), "end_at": soon(30, 1).isoformat()}
    session = await client.call(
        owner, "POST", "/sessions", command={"event_id": event_id, "title": "0", **begins}
    )
    speaker = await client.call(owner, "POST", "/speakers", command={"event_id": event_id, "full_name": "0"})
    of_event, of_session = f"/events/{event_id}", f"/sessions/{session.body['id']}"
    routes: dict[str, tuple[str, str, str, Shown]] = {
        "list": (of_event, "name", "/events?size=1", lambda body: body["items"][0]["name"]),
        "event": (of_event, "name", of_event, lambda body: body["name"]),
        "sessions": (of_session, "title", f"/sessions?event_id={event_id}", lambda body: body[0]["title"]),
        "speakers": (
            f"/speakers/{speaker.body['id']}",
            "full_name",
            f"/speakers?event_id={event_id}",
            lambda body: body[0]["full_name"],
        ),
    }
    edited, field, path, shown = routes[route]
    assert (await client.call(owner, "PATCH", edited, command={field: "0"})).status == 200
    committed, too_little, done = 0, 0, False

    async def read() -> None:
        nonlocal too_little
        while not done:
            before = committed
            answer = await client.call(None, "GET", path)
            assert answer.status == 200
            too_little += int(shown(answer.body)) < before
            # Or all who shared a look would ask for the next one at the same moment.
            await asyncio.sleep(random() / 10)

    async def write() -> None:
        nonlocal committed, done
        for number in range(1, EDITS + 1):
            answer = await client.call(owner, "PATCH", edited, command={field: str(number)})
            assert answer.status == 200
            committed = number
            await asyncio.sleep(0.02)
        done = True

    await asyncio.gather(write(), *(read() for _ in range(READERS)))
    return too_little


@pytest.mark.parametrize("route", ["list", "event", "sessions", "speakers"])
def test_no_reader_sees_less_than_was_committed_before_it_asked(
    server: Server, live: Store, owner: Person, route: str
) -> None:
    event_id = opened(live, owner, 10)
    assert asyncio.run(_race(server, owner, event_id, route)) == 0


def test_readers_who_join_a_look_under_way_would_see_too_little(
    stale: Server, live: Store, owner: Person
) -> None:
    event_id = opened(live, owner, 10)
    assert asyncio.run(_race(stale, owner, event_id, "event")) > 0
