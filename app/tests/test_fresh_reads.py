"""Shared reads under fire: whoever asks sees at least all that was committed before. With its control."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import random
from typing import NamedTuple

import pytest

from app.core.database import Store
from app.tests.factories import soon
from app.tests.rush import Answer, Client, Person, Server, crowd, opened, serving

READERS = 50
EDITS = 10
SHARED = 12  # routes

Shown = Callable[[Answer], str]


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


class Edited(NamedTuple):
    """Something that is edited: where, which field, and by which routes it is shown, each as what it says."""

    path: str
    field: str
    shown: Mapping[str, Shown]


def says(pattern: bytes) -> Shown:
    """Find in a text what ``pattern`` does."""

    def find(answer: Answer) -> str:
        found = re.search(pattern, answer.content, re.DOTALL)
        assert found is not None
        return found[1].decode()

    return find


async def _things(client: Client, owner: Person, event_id: int) -> Sequence[Edited]:
    """Make what is shared, each called 0."""
    begins = {"start_at": soon(30).isoformat(), "end_at": soon(30, 1).isoformat()}
    made = {
        path: await client.call(owner, "POST", path, command={"event_id": event_id, **command})
        for path, command in (
            ("/sessions", {"title": "0", **begins}),
            ("/speakers", {"full_name": "0"}),
            ("/rooms", {"name": "0"}),
        )
    }
    session, speaker, room = (f"{path}/{answer.body['id']}" for path, answer in made.items())
    event, of_event = f"/events/{event_id}", f"?event_id={event_id}"
    await client.call(owner, "PATCH", event, command={"name": "0"})
    return [
        Edited(
            event,
            "name",
            {
                "/events?size=1": lambda answer: answer.body["items"][0]["name"],
                f"/events?organizer_id={owner.id}": lambda answer: answer.body["items"][0]["name"],
                event: lambda answer: answer.body["name"],
            },
        ),
        Edited(
            session,
            "title",
            {
                f"/sessions{of_event}": lambda answer: answer.body[0]["title"],
                f"/sessions{event}": lambda answer: answer.body[0]["title"],
                session: lambda answer: answer.body["title"],
                f"{event}/schedule.json": says(rb'"rooms":.*"title":"(\d+)"'),
                f"{event}/schedule.xml": says(rb"<event .*<title>(\d+)</title>"),
                f"{event}/calendar.ics": says(rb"SUMMARY:(\d+)"),
            },
        ),
        Edited(
            speaker,
            "full_name",
            {
                f"/speakers{of_event}": lambda answer: answer.body[0]["full_name"],
                speaker: lambda answer: answer.body["full_name"],
            },
        ),
        Edited(room, "name", {f"/rooms{of_event}": lambda answer: answer.body[0]["name"]}),
    ]


async def _race(server: Server, owner: Person, event_id: int, *only: str) -> Mapping[str, int]:
    """Edit one thing after the other while many read it, and count for each route who saw too little."""
    client = Client(server)
    things = await _things(client, owner, event_id)
    routes = [(thing, path) for thing in things for path in thing.shown]
    number, too_little = 0, {}
    for thing, path in routes:
        if not only or path in only:
            number, too_little[path] = await _read_and_write(client, owner, thing, path, number)
    return too_little


async def _read_and_write(
    client: Client, owner: Person, thing: Edited, path: str, number: int
) -> tuple[int, int]:
    """Edit a thing again and again, counting on from ``number``, and count those who saw too little."""
    committed, too_little, done = 0, 0, False

    async def look(person: Person | None) -> None:
        nonlocal too_little
        before = committed
        answer = await client.call(person, "GET", path)
        assert answer.status == 200
        too_little += int(thing.shown[path](answer)) < before

    async def read() -> None:
        while not done:
            await look(None)
            # Or all who shared a look would ask for the next one at the same moment.
            await asyncio.sleep(random() / 10)

    async def write() -> None:
        nonlocal committed, done, number
        for _ in range(EDITS):
            number += 1
            answer = await client.call(owner, "PATCH", thing.path, command={thing.field: str(number)})
            assert answer.status == 200
            committed = number
            await look(owner)
        done = True

    await asyncio.gather(write(), *(read() for _ in range(READERS)))
    return number, too_little


def test_no_reader_sees_less_than_was_committed_before_it_asked(
    server: Server, live: Store, owner: Person
) -> None:
    event_id = opened(live, owner, 10)
    too_little = asyncio.run(_race(server, owner, event_id))
    assert len(too_little) == SHARED
    assert {route for route, readers in too_little.items() if readers} == set()


def test_readers_who_join_a_look_under_way_would_see_too_little(
    stale: Server, live: Store, owner: Person
) -> None:
    event_id = opened(live, owner, 10)
    too_little = asyncio.run(_race(stale, owner, event_id, f"/events/{event_id}"))
    assert sum(too_little.values()) > 0
