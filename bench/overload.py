"""Suite ``overload``: four times what can be served, what becomes of it, and of the check-ins meanwhile."""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import quantiles

from app.core.settings import Settings
from bench.cases import GUESTS, WRITES
from bench.load import BrokenRunError, Line
from bench.postgres import wait_until_quiet
from bench.report import Report, Row
from bench.rig import Rig
from bench.service import SERVICE, serving

OFFERED = "schedule_session"
AT_THE_DOOR = "check_in"
CLIENTS = 32
TIMES = 4
SECONDS = 20
SCANS_A_SECOND = 10
MOST_CAPACITY = 500
"""More a second than the route serves; enough requests are prepared for four times as many."""

LEAST_SERVED = 0.5
"""What is refused costs something too, and it is four to six times as many."""

MOST_WAITED = 1.2
AT_MOST_AT_THE_DOOR = 0.5
SERVED, BUSY = 201, 503
PATIENCE_SECONDS = 30
KEPT_SECONDS = 4
"""The service hangs up where nothing was said for five."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one request: when it was answered since the run began, and after how many seconds."""

    status: int
    at: float
    took: float


class Callers:
    """As many callers as it takes, over connections that are used again."""

    def __init__(self, address: str) -> None:
        """Call the service at ``address``."""
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []
        self._began = time.monotonic()
        self.sent: list[Sent] = []

    async def send(self, line: Line) -> None:
        """Send one request, and note what came of it."""
        began = time.monotonic()
        reader, writer = await self._connection()
        body = line.body.encode()
        writer.write(
            f"{line.method} {line.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {line.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        now = time.monotonic()
        self.sent.append(Sent(int(head[9:12]), now - self._began, now - began))
        self._idle.append((reader, writer, now))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if not reader.at_eof() and time.monotonic() < since + KEPT_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    async def take_turns(self, lines: Iterator[Line], clients: int, seconds: float) -> None:
        """Let each of ``clients`` send the next request once its last one was answered."""

        async def work() -> None:
            while time.monotonic() < self._began + seconds:
                await self.send(next(lines))

        await asyncio.gather(*(work() for _ in range(clients)))

    async def arrive(self, lines: Iterator[Line], rate: float, seconds: float) -> None:
        """Send ``rate`` requests a second, whether or not those before them were answered."""
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(self._began + number / rate - time.monotonic())
                group.create_task(self.send(next(lines)))

    def close(self) -> None:
        """Hang up."""
        for _, writer, _ in self._idle:
            writer.close()


def run(rig: Rig, seconds: int | None) -> Report:
    """Measure what is served at its best, and then under four times as much."""
    seconds = seconds or SECONDS
    patience = float(Settings.model_fields["queue_timeout"].default)
    count = min(2 * TIMES * MOST_CAPACITY * seconds, rig.world.requests)
    tickets = 2 * SCANS_A_SECOND * seconds
    offered, scans = _lines(rig, OFFERED, count), _lines(rig, AT_THE_DOOR, tickets)
    wait_until_quiet(rig.engine)
    rig.world.fill(rig.engine, GUESTS, count=tickets)
    with serving(SERVICE, rig.served_with._replace(queue_timeout=patience)) as address:
        try:
            asyncio.run(_take_turns(address, offered, 2))
            best = asyncio.run(_take_turns(address, offered, seconds / 2))
            capacity = _rate(best, SERVED, 0, seconds / 2)
            rig.progress.print(f"{OFFERED}: {capacity:,.0f}/s with {CLIENTS} clients")
            flood, door = asyncio.run(_flood(address, offered, scans, TIMES * capacity, seconds))
        except* (OSError, TimeoutError, RuntimeError, EOFError) as group:
            message = f"overload: {group.exceptions[0]!r}"
            raise BrokenRunError(message) from None
    return _report(rig, _rows(capacity, patience, seconds, flood, door), {one.status for one in flood + door})


def _lines(rig: Rig, operation: str, count: int) -> Iterator[Line]:
    (case,) = (case for case in WRITES if case.operation == operation)
    return iter(list(case.lines(rig.world, rig.tokens, count)))


async def _take_turns(address: str, lines: Iterator[Line], seconds: float) -> list[Sent]:
    callers = Callers(address)
    await callers.take_turns(lines, CLIENTS, seconds)
    callers.close()
    return callers.sent


async def _flood(
    address: str, lines: Iterator[Line], scans: Iterator[Line], rate: float, seconds: float
) -> tuple[list[Sent], list[Sent]]:
    public, door = Callers(address), Callers(address)
    await asyncio.gather(public.arrive(lines, rate, seconds), door.arrive(scans, SCANS_A_SECOND, seconds))
    for callers in (public, door):
        callers.close()
    return public.sent, door.sent


def _rate(sent: Sequence[Sent], status: int, begin: float, end: float) -> float:
    return sum(one.status == status and begin <= one.at < end for one in sent) / (end - begin)


def _rows(
    capacity: float, patience: float, seconds: float, flood: Sequence[Sent], door: Sequence[Sent]
) -> Iterator[Row]:
    # Counted once the queue is full.
    served, refused = (_rate(flood, status, seconds / 4, seconds) for status in (SERVED, BUSY))
    waited, told, scanned = (
        _percentiles([one.took for one in sent if one.status == status])
        for sent, status in ((flood, SERVED), (flood, BUSY), (door, SERVED))
    )

    def rates(label: str, ours: float, other: float, least: float = 0.0) -> Row:
        return Row(label, f"{ours:,.0f}/s", f"{other:,.0f}/s", ours / other, least)

    def times(label: str, ours: float, other: float, most: float | None = None) -> Row:
        return Row(label, f"{ours:.2f} s", f"{other:.2f} s", ours / other, most=most)

    yield rates("served : the most that is served", served, capacity, LEAST_SERVED)
    yield rates("refused : offered", refused, TIMES * capacity)
    yield times("served, the median : QUEUE_TIMEOUT", waited[49], patience)
    yield times("served, the 99th percentile : QUEUE_TIMEOUT", waited[98], patience, MOST_WAITED)
    yield times("refused, the median : QUEUE_TIMEOUT", told[49], patience)
    yield times("a check-in, the median : served, the median", scanned[49], waited[49], AT_MOST_AT_THE_DOOR)
    yield times("a check-in, the 99th percentile : served, the median", scanned[98], waited[49])


def _report(rig: Rig, rows: Iterator[Row], statuses: set[int]) -> Report:
    report = Report.of_pairs(
        f"overload: {OFFERED}, {TIMES} times what {CLIENTS} clients are served, 1 worker"
    )
    if not statuses <= {SERVED, BUSY}:
        report.broken.append(f"overload: these were answered: {sorted(statuses)}")
    report.add(rows, judged=not rig.quick)
    return report


def _percentiles(took: Sequence[float]) -> Sequence[float]:
    return quantiles(took, n=100) if len(took) > 1 else [math.nan] * 99
