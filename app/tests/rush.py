"""Real servers, crowds of clients that call all at once, and what must be true of the database afterwards."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from http.client import parse_headers
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import text

from app.core.database import Store
from app.core.security import Claims, Tokens
from app.core.settings import PROJECT
from app.services.invariants import check
from app.tests.conftest import PREFIX, SECRET, WIDE
from app.tests.factories import SIGN_IN, soon

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.05
READY = "Application startup complete."
TOKENS = Tokens(SECRET, timedelta(hours=1))

# RUSH_ROUNDS=20 looks longer for what a few rounds may not show.
ROUNDS = int(os.environ.get("RUSH_ROUNDS", "2"))


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)


def children(pid: int) -> list[int]:
    """Name the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass(frozen=True)
class Server:
    """A running service of several processes."""

    port: int
    pid: int

    @property
    def workers(self) -> list[int]:
        """Name the processes that serve."""
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children(self.pid)}
        return [pid for pid, line in lines.items() if "spawn_main" in line]


@contextmanager
def serving(
    database_url: str, *, workers: int = 4, app: str = "app.main:app", **environment: str
) -> Iterator[Server]:
    """Run the service in processes of its own for as long as it is needed."""
    settings = {
        "PATH": os.environ["PATH"],
        "ENV": "dev",
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET,
        "LOG_LEVEL": "WARNING",
        **{name.upper(): rate for name, rate in WIDE.items()},
        **environment,
    }
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--workers", str(workers), "--port", str(port)]
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as written:
            process = subprocess.Popen(command, cwd=PROJECT, env=settings, stdout=written, stderr=written)
        try:
            until(lambda: log.read_text().count(READY) == workers or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield Server(port, process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Person:
    """Someone with an account and a token."""

    id: int
    token: str


def crowd(store: Store, number: int) -> list[Person]:
    """Make accounts, all with one password hash that fits no password."""
    made = text(
        "WITH made AS (INSERT INTO users (email, password_hash)"
        " SELECT 'person' || n || '@example.com', '!' FROM generate_series(1, :number) AS n"
        " ON CONFLICT (email) DO UPDATE SET role = 'ATTENDEE' RETURNING id, email), signed_in AS"
        " (INSERT INTO sign_ins (id, user_id, token_version, family_digest, token_digest, expires_at)"
        " SELECT :sign_in + id, id, 1, digest, digest, now() + interval '1 day'"
        " FROM made CROSS JOIN LATERAL sha256(email::bytea) AS digest ON CONFLICT DO NOTHING)"
        " SELECT id, email FROM made"
    )
    with store.job() as db:
        return [
            Person(uid, TOKENS.issue(Claims(uid=uid, sub=email, ver=1, sid=SIGN_IN + uid)))
            for uid, email in db.execute(made, {"number": number, "sign_in": SIGN_IN})
        ]


def opened(store: Store, owner: Person, places: int, *, waitlist: bool = False) -> int:
    """Make a published event and return its id."""
    made = text(
        "INSERT INTO events (name, start_at, end_at, capacity_total, created_by, waitlist_enabled)"
        " VALUES ('Rush', :start_at, :end_at, :places, :owner, :waitlist) RETURNING id"
    )
    facts = {"start_at": soon(30), "end_at": soon(31), "places": places, "owner": owner.id}
    with store.job() as db:
        return int(db.scalar(made, facts | {"waitlist": waitlist}) or 0)


def staged(store: Store, event_id: int, hour: int = 0, places: int | None = None) -> int:
    """Make a session in one hour of an event, and return its id."""
    made = text(
        "INSERT INTO sessions"
        " (event_id, event_is_live, event_start_at, event_end_at, title, start_at, end_at, capacity_total)"
        " SELECT id, is_live, start_at, end_at, 'Rush', start_at + make_interval(hours => :hour),"
        " start_at + make_interval(hours => :hour + 1), :places FROM events WHERE id = :event RETURNING id"
    )
    with store.job() as db:
        return int(db.scalar(made, {"event": event_id, "hour": hour, "places": places}) or 0)


def let_in(store: Store, people: Sequence[Person], event_id: int) -> None:
    """Register everybody for an event; they come from wherever they sat before."""
    made = text(
        "INSERT INTO registrations (event_id, user_id, status, ticket_code)"
        " SELECT :event, who, 'CONFIRMED', :event || '-' || who FROM unnest(:people) AS who"
    )
    with store.job() as db:
        db.execute(text("UPDATE seats SET given_up_at = now() WHERE given_up_at IS NULL"))
        db.execute(made, {"event": event_id, "people": [person.id for person in people]})


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where the connection broke first."""

    status: int
    headers: Message = field(default_factory=Message)
    content: bytes = b""

    @property
    def body(self) -> Any:
        """Read the content."""
        return json.loads(self.content or b"null")

    @property
    def outcome(self) -> str:
        """Say in a few words what was answered."""
        kind = "" if self.status < 400 else self.body["type"].removeprefix("/problems/")
        return f"{self.status} {kind}".strip()


class Client:
    """Call a server as many people at once, each call over a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def call(
        self, person: Person | None, method: str, path: str, *, key: str | None = None, command: Any = None
    ) -> Answer:
        content = b"" if command is None else json.dumps(command).encode()
        lines = [
            f"{method} {PREFIX}{path} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            *([f"Authorization: Bearer {person.token}"] if person else []),
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *([f"Idempotency-Key: {key}"] if key else []),
        ]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
                try:
                    writer.write("\r\n".join([*lines, "", ""]).encode() + content)
                    received = await reader.read()
                finally:
                    writer.close()
        except ConnectionError:
            return Answer(0)
        head, end, rest = received.partition(b"\r\n\r\n")
        first, _, fields = head.partition(b"\r\n")
        headers = parse_headers(BytesIO(fields + end))
        if not end or len(rest) < int(headers.get("content-length", 0)):
            return Answer(0)
        return Answer(int(first.split()[1]), headers, rest)

    async def register(self, person: Person, event_id: int, *, key: str | None = None) -> Answer:
        return await self.call(person, "POST", f"/registrations/events/{event_id}", key=key)

    async def take_seat(self, person: Person, session_id: int) -> Answer:
        return await self.call(person, "POST", f"/registrations/sessions/{session_id}")

    async def cancel(self, person: Person, event_id: int) -> Answer:
        return await self.call(person, "DELETE", f"/registrations/events/{event_id}")


def rush(server: Server, act: Callable[[Client], Sequence[Coroutine[Any, Any, Answer]]]) -> list[Answer]:
    """Let everybody act at once, and return what each was answered last, in the same order."""

    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*act(Client(server)))

    return asyncio.run(all_at_once())


def faults(store: Store, answers: Sequence[Answer] = ()) -> list[str]:
    """Name the rules that are broken, and what was acknowledged and is not there."""
    with store.snapshot() as db:
        broken = [breach.name for breach in check(db)]
        kept = set(db.scalars(text("SELECT id FROM registrations")))
    gone = {answer.body["id"] for answer in answers if answer.status == 201} - kept
    return broken + ["acknowledged-and-gone"] * bool(gone)


def places_taken(store: Store, event_id: int) -> int:
    """Count the confirmed registrations, by their rows."""
    confirmed = text("SELECT count(*) FROM registrations WHERE event_id = :id AND status = 'CONFIRMED'")
    with store.snapshot() as db:
        return int(db.scalar(confirmed, {"id": event_id}) or 0)


def seats_taken(store: Store, session_id: int) -> int:
    """Count the seats held, by their rows."""
    held = text("SELECT count(*) FROM seats WHERE session_id = :id AND given_up_at IS NULL")
    with store.snapshot() as db:
        return int(db.scalar(held, {"id": session_id}) or 0)
