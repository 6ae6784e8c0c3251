"""Killed in the middle of a rush, a process or the whole database, and what must be there afterwards.

The server has PostgreSQL's durable settings; the control shows that the same crash loses what was
acknowledged without them.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from app.core.database import Store
from app.core.embedded_postgres import running
from app.core.migrations import upgrade
from app.tests.rush import (
    Answer,
    Client,
    Person,
    Server,
    children,
    crowd,
    faults,
    opened,
    places_taken,
    rush,
    serving,
    until,
)

PEOPLE, PLACES = 300, 250
AT_ONCE = 60
RECOVERY_SECONDS = 20
STRUCK_AFTER = 70

# What is acknowledged before it is on disk: it waits in the server's memory until this writer wakes.
FORGETFUL = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}


@contextmanager
def database(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[Store]:
    """Run a PostgreSQL of the test's own, and yield connections to its migrated database."""
    with running(data_dir, settings=settings) as url:
        engine = create_engine(url, poolclass=NullPool)
        upgrade(engine)
        store = Store(url, pool_size=5, queue_size=10)
        yield store
        store.close()


def url(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_postgres(data_dir: Path) -> None:
    """End the server and all of its processes at once, so that none can write anything more."""
    postmaster = int((data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    family = [*children(postmaster), postmaster]
    kill(family)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def everybody(
    server: Server, people: Sequence[Person], event_id: int, strike: Callable[[], None] = lambda: None
) -> list[Answer]:
    """Let everybody register under a key of their own, some at a time, and strike in the middle."""
    acknowledged = 0

    async def register(client: Client, person: Person, turn: asyncio.Semaphore) -> Answer:
        nonlocal acknowledged
        async with turn:
            answer = await client.register(person, event_id, key="mine")
        acknowledged += answer.status == 201
        if answer.status == 201 and acknowledged == STRUCK_AFTER:
            strike()
        return answer

    def act(client: Client) -> list[Coroutine[Any, Any, Answer]]:
        turn = asyncio.Semaphore(AT_ONCE)
        return [register(client, person, turn) for person in people]

    return rush(server, act)


def ask_again(server: Server, people: Sequence[Person], event_id: int) -> list[Answer]:
    """Send the same requests with the same keys until each has its answer."""
    answers: list[Answer] = []

    def answered() -> bool:
        answers[:] = everybody(server, people, event_id)
        return {answer.status for answer in answers} == {201, 409}

    until(answered)
    return answers


def effects(store: Store) -> tuple[int, int]:
    """Count the keys, and the registrations that each of them says were made."""
    keys = "SELECT count(*) FROM idempotency_keys"
    made = (
        "SELECT count(*) FROM registrations r JOIN idempotency_keys k ON k.user_id = r.user_id"
        " AND (convert_from(k.body, 'UTF8')::json ->> 'id')::int = r.id"
    )
    with store.snapshot() as db:
        return int(db.scalar(text(keys)) or 0), int(db.scalar(text(made)) or 0)


def check_all(
    server: Server, store: Store, people: Sequence[Person], event_id: int, answers: Sequence[Answer]
) -> None:
    """Check that what was acknowledged is there, once, and that nothing else was lost or gained."""
    broken = {answer.outcome for answer in answers} - {"0", "201", "409 event-full", "503 unavailable"}
    assert broken == set()
    assert faults(store, answers) == []
    taken = places_taken(store, event_id)
    assert effects(store) == (taken, taken)
    again = ask_again(server, people, event_id)
    for before, after in zip(answers, again, strict=True):
        if before.status == 201:
            assert after.body == before.body
    assert sum(answer.status == 201 for answer in again) == PLACES
    assert places_taken(store, event_id) == PLACES
    assert effects(store) == (PLACES, PLACES)
    assert faults(store, again) == []


def test_a_killed_worker_loses_nothing_that_was_acknowledged(data_dir: Path) -> None:
    with database(data_dir) as store, serving(url(store), workers=2) as server:
        people = crowd(store, PEOPLE)
        event_id = opened(store, people[0], PLACES)
        victim = server.workers[0]
        answers = everybody(server, people, event_id, lambda: kill([victim]))
        assert {0, 201} <= {answer.status for answer in answers}
        check_all(server, store, people, event_id, answers)


def test_a_killed_database_loses_nothing_that_was_acknowledged(data_dir: Path) -> None:
    with database(data_dir) as store, serving(url(store), workers=2) as server:
        people = crowd(store, PEOPLE)
        event_id = opened(store, people[0], PLACES)
        answers = everybody(server, people, event_id, lambda: kill_postgres(data_dir))
        assert {201, 503} <= {answer.status for answer in answers}
        with running(data_dir):
            store.engine.dispose()
            check_all(server, store, people, event_id, answers)


def test_a_restart_of_the_database_loses_nothing_and_is_survived(data_dir: Path) -> None:
    with database(data_dir) as store, serving(url(store), workers=2) as server:
        people = crowd(store, PEOPLE)
        event_id = opened(store, people[0], PLACES)
        postmaster = int((data_dir / "postmaster.pid").read_text().split()[0])
        answers = everybody(server, people, event_id, lambda: os.kill(postmaster, signal.SIGINT))
        until(lambda: not Path(f"/proc/{postmaster}").exists())
        with running(data_dir):
            began = time.monotonic()
            until(lambda: everybody(server, people[:1], event_id)[0].status in {201, 409})
            recovery = time.monotonic() - began
            store.engine.dispose()
            check_all(server, store, people, event_id, answers)
        print(f"{Counter(answer.outcome for answer in answers)}, {recovery:.2f} s until served again")  # noqa: T201 - the figure is asked for
        assert {201, 503} <= {answer.status for answer in answers}
        assert recovery < RECOVERY_SECONDS


def test_a_killed_database_without_durable_commits_loses_what_was_acknowledged(data_dir: Path) -> None:
    with database(data_dir, FORGETFUL) as store, serving(url(store), workers=2) as server:
        people = crowd(store, PEOPLE)
        event_id = opened(store, people[0], PLACES)
        with store.job() as db:
            db.execute(text("CHECKPOINT"))
        answers = everybody(server, people, event_id, lambda: kill_postgres(data_dir))
        with running(data_dir):
            store.engine.dispose()
            assert "acknowledged-and-gone" in faults(store, answers)
