"""Races over HTTP against four processes. Each has a control: the same check, with the protection off."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from threading import Event, Thread
from typing import Self

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.core.database import Store
from app.tests.conftest import migrated_database
from app.tests.factories import soon
from app.tests.rush import (
    ROUNDS,
    Answer,
    Client,
    Person,
    Server,
    crowd,
    faults,
    let_in,
    opened,
    places_taken,
    rush,
    seats_taken,
    serving,
    staged,
)
from app.tests.unguarded import UNGUARD

UNGUARDED = "app.tests.unguarded:app"


@pytest.fixture(scope="module")
def server(live_url: str) -> Iterator[Server]:
    with serving(live_url) as server:
        yield server


@pytest.fixture(scope="module")
def unguarded_url(server_url: str, worker: str) -> Iterator[str]:
    with migrated_database(server_url, f"mis_eventos_unguarded_{worker}") as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            for statement in UNGUARD:
                connection.execute(text(statement))
        yield url


@pytest.fixture(scope="module")
def without_locks(unguarded_url: str) -> Iterator[Server]:
    with serving(unguarded_url, app=UNGUARDED, WITHOUT="locks") as server:
        yield server


@pytest.fixture
def unguarded(unguarded_url: str) -> Iterator[Store]:
    store = Store(unguarded_url, pool_size=10, queue_size=10)
    yield store
    with store.job() as db:
        db.execute(text("TRUNCATE events, users CASCADE"))
    store.close()


def outcomes(answers: Sequence[Answer]) -> Counter[str]:
    return Counter(answer.outcome for answer in answers)


def stampede(server: Server, people: Sequence[Person], event_id: int) -> list[Answer]:
    return rush(server, lambda client: [client.register(person, event_id) for person in people])


@pytest.mark.parametrize("places", [1, 10, 100])
def test_a_stampede_never_oversells_and_loses_no_place(server: Server, live: Store, places: int) -> None:
    people = crowd(live, 300)
    for _ in range(ROUNDS):
        event_id = opened(live, people[0], places)
        answers = stampede(server, people, event_id)
        assert outcomes(answers) == {"201": places, "409 event-full": 300 - places}
        assert places_taken(live, event_id) == places
        assert faults(live, answers) == []


def test_a_stampede_without_locks_oversells(without_locks: Server, unguarded: Store) -> None:
    def oversold() -> bool:
        people = crowd(unguarded, 300)
        answers = stampede(without_locks, people, opened(unguarded, people[0], 10))
        return outcomes(answers)["201"] > 10 and "oversold" in faults(unguarded, answers)

    # How many of the workers meet is chance.
    assert any(oversold() for _ in range(10))


def stampede_for_seats(server: Server, store: Store) -> tuple[Counter[str], int]:
    """Let 200 people who are registered for an event want the ten seats of one of its sessions."""
    people = crowd(store, 200)
    event_id = opened(store, people[0], 200)
    let_in(store, people, event_id)
    session_id = staged(store, event_id, places=10)
    answers = rush(server, lambda client: [client.take_seat(person, session_id) for person in people])
    return outcomes(answers), seats_taken(store, session_id)


def test_a_stampede_for_seats_takes_each_once(server: Server, live: Store) -> None:
    for _ in range(ROUNDS):
        assert stampede_for_seats(server, live) == ({"201": 10, "409 session-full": 190}, 10)
        assert faults(live) == []


def test_a_stampede_for_seats_without_locks_oversells(without_locks: Server, unguarded: Store) -> None:
    def oversold() -> bool:
        seen, taken = stampede_for_seats(without_locks, unguarded)
        return min(seen["201"], taken) > 10 and "session-oversold" in faults(unguarded)

    assert any(oversold() for _ in range(10))


async def come_and_go(client: Client, person: Person, event_id: int, times: int) -> Answer:
    """Register and cancel in turns, and end with a registration or with what went wrong."""
    answer = await client.register(person, event_id)
    for _ in range(times):
        gone = await client.cancel(person, event_id)
        if gone.status != 204:
            return gone
        answer = await client.register(person, event_id)
    return answer


async def resize(client: Client, owner: Person, event_id: int, times: int) -> Answer:
    """Raise and lower the capacity at random."""
    answer, chance = Answer(0), Random(event_id)
    for _ in range(times):
        size = {"capacity_total": chance.randint(5, 20)}
        answer = await client.call(owner, "PATCH", f"/events/{event_id}", command=size)
        if answer.outcome not in {"200", "409 capacity-below-confirmed"}:
            break
    return answer


class Watch:
    """Ask for broken rules again and again while others write, and keep what was found."""

    def __init__(self, store: Store) -> None:
        self.found: set[str] = set()
        self.looks = 0
        self._store = store
        self._over = Event()
        self._thread = Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.found.update(faults(self._store))
            self.looks += 1


def storm(server: Server, store: Store) -> tuple[list[Answer], set[str]]:
    """Let 60 people come and go at an event with a waitlist and a capacity that changes meanwhile."""
    people = crowd(store, 60)
    event_id = opened(store, people[0], 10, waitlist=True)
    with Watch(store) as watch:
        answers = rush(
            server,
            lambda client: [
                resize(client, people[0], event_id, 20),
                *(come_and_go(client, person, event_id, 2) for person in people),
            ],
        )
    assert watch.looks > 3
    return answers, watch.found | set(faults(store))


def test_a_storm_with_a_waitlist_keeps_every_rule_at_every_moment(server: Server, live: Store) -> None:
    for _ in range(ROUNDS):
        answers, broken = storm(server, live)
        assert answers[0].outcome in {"200", "409 capacity-below-confirmed"}
        assert outcomes(answers[1:]) == {"201": 60}
        assert broken == set()


def test_a_storm_without_locks_breaks_the_waitlist(without_locks: Server, unguarded: Store) -> None:
    of_the_waitlist = {"place-left-empty", "waitlist-passed"}
    # Which rule a storm breaks first is chance, so there may be more than one.
    assert any(of_the_waitlist & storm(without_locks, unguarded)[1] for _ in range(10))


def all_of_one(server: Server, person: Person, event_id: int, key: str | None = None) -> list[Answer]:
    return rush(server, lambda client: [client.register(person, event_id, key=key) for _ in range(20)])


def test_one_person_twenty_times_at_once_has_one_place(server: Server, live: Store) -> None:
    for person in crowd(live, ROUNDS):
        event_id = opened(live, person, 100)
        answers = all_of_one(server, person, event_id)
        assert outcomes(answers) == {"201": 1, "409 already-registered": 19}
        assert faults(live, answers) == []


def test_one_person_without_locks_has_several_places(without_locks: Server, unguarded: Store) -> None:
    def twice() -> bool:
        person = crowd(unguarded, 1)[0]
        answers = all_of_one(without_locks, person, opened(unguarded, person, 100))
        return "registered-twice" in faults(unguarded, answers)

    # The kernel gives the connections out, and may give one worker all of them.
    assert any(twice() for _ in range(10))


def test_one_key_twenty_times_at_once_registers_once(server: Server, live: Store) -> None:
    for person in crowd(live, ROUNDS):
        event_id = opened(live, person, 100)
        answers = all_of_one(server, person, event_id, "once")
        assert {(answer.status, str(answer.body), answer.headers["location"]) for answer in answers} == {
            (201, str(answers[0].body), answers[0].headers["location"])
        }
        assert places_taken(live, event_id) == 1
        assert faults(live, answers) == []


def test_one_key_without_locks_registers_several_times(without_locks: Server, unguarded: Store) -> None:
    def several() -> bool:
        person = crowd(unguarded, 1)[0]
        event_id = opened(unguarded, person, 100)
        answers = all_of_one(without_locks, person, event_id, "once")
        return len({answer.body["id"] for answer in answers}) > 1 and places_taken(unguarded, event_id) > 1

    assert any(several() for _ in range(10))


EVENT = {
    "name": "Once",
    "start_at": soon(30).isoformat(),
    "end_at": soon(31).isoformat(),
    "capacity_total": 10,
}


def create_at_once(server: Server, person: Person) -> list[Answer]:
    return rush(
        server,
        lambda client: [client.call(person, "POST", "/events", key="once", command=EVENT) for _ in range(20)],
    )


def test_one_key_twenty_times_at_once_creates_one_event(server: Server, live: Store) -> None:
    for person in crowd(live, ROUNDS):
        answers = create_at_once(server, person)
        busy = [answer for answer in answers if answer.outcome == "409 request-in-progress"]
        done = [answer for answer in answers if answer.status == 201]
        assert len(busy) + len(done) == 20
        assert all(int(answer.headers["retry-after"]) > 0 for answer in busy)
        assert len({(str(answer.body), answer.headers["location"]) for answer in done}) == 1
        assert faults(live) == []


def test_one_key_without_locks_creates_several_events(without_locks: Server, unguarded: Store) -> None:
    answers = create_at_once(without_locks, crowd(unguarded, 1)[0])
    assert len({answer.body["id"] for answer in answers if answer.status == 201}) > 1


def crossing(server: Server, store: Store) -> list[Answer]:
    """Let half of the people register for every event in one order, and half in the other."""
    people = crowd(store, 40)
    events = [opened(store, people[0], 1_000) for _ in range(12)]
    return rush(
        server,
        lambda client: [
            client.register(person, event_id)
            for number, person in enumerate(people)
            for event_id in (events if number % 2 else reversed(events))
        ],
    )


def test_opposite_orders_over_several_events_do_not_deadlock(server: Server, live: Store) -> None:
    for _ in range(ROUNDS):
        answers = crossing(server, live)
        assert outcomes(answers) == {"201": 480}
        assert faults(live, answers) == []


def crossing_for_seats(server: Server, store: Store) -> list[Answer]:
    """Let half of the people sit down in every event in one order, and half in the other."""
    people = crowd(store, 40)
    events = [opened(store, people[0], 1_000) for _ in range(12)]
    for event_id in events:
        let_in(store, people, event_id)
    sessions = [staged(store, event_id, hour) for hour, event_id in enumerate(events)]
    return rush(
        server,
        lambda client: [
            client.take_seat(person, session_id)
            for number, person in enumerate(people)
            for session_id in (sessions if number % 2 else reversed(sessions))
        ],
    )


def test_opposite_orders_over_the_sessions_of_several_events_do_not_deadlock(
    server: Server, live: Store
) -> None:
    for _ in range(ROUNDS):
        assert outcomes(crossing_for_seats(server, live)) == {"201": 480}
        assert faults(live) == []


@pytest.mark.parametrize("cross", [crossing, crossing_for_seats])
def test_locks_in_any_order_deadlock(
    unguarded_url: str, unguarded: Store, cross: Callable[[Server, Store], list[Answer]]
) -> None:
    with serving(unguarded_url, app=UNGUARDED, WITHOUT="order", workers=2) as server:
        # Two workers have to meet in the middle; when depends on the machine.
        assert any(outcomes(cross(server, unguarded))["503 unavailable"] for _ in range(10))
