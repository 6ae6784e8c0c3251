"""A bounded queue in front of something scarce, so that waiting costs nothing and never piles up."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from types import TracebackType
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from app.core.exceptions import Overloaded

Done = TypeVar("Done")

Leaving = Callable[[], Awaitable[object]]
"""What returns once the one who waits has gone."""

NEWEST = 0.1
"""How much the newest turn counts in the average."""

DOOR_IN_A_ROW = 3


class Lane(Enum):
    """Where somebody waits. The door goes first, and lets the public in after three of its own."""

    PUBLIC = "public"
    DOOR = "door"


class Pace:
    """How long a turn has taken of late, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """Take one more turn into the average."""
        self.seconds += NEWEST * (seconds - self.seconds)


class Gate:
    """Let ``width`` callers in at a time, first come first served in each lane.

    Callers wait in the event loop, where they hold neither a thread nor a connection. Both being taken
    separately is what makes the usual shape collapse: requests that hold a connection wait for a thread
    while those that hold the threads wait for a connection.

    Nobody waits in vain. Past ``queue`` in a lane, or where the pace of the queue says that ``patience`` (in
    seconds) would run out, a caller is refused at once; and whoever has waited for so long, or hangs up,
    leaves the queue.
    """

    def __init__(self, width: int, queue: int, patience: float = math.inf) -> None:
        """Admit ``width`` at once and let ``queue`` wait in each lane, for ``patience`` seconds each."""
        self._width = width
        self._queue = queue
        self._patience = patience
        self._lines: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._pace = Pace()
        self._last_turn = 0.0
        self._door_in_a_row = 0
        self.inside = 0

    @property
    def waiting(self) -> int:
        """Count the callers that wait now."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def place(self, lane: Lane = Lane.PUBLIC, leaving: Leaving | None = None) -> AsyncIterator[None]:
        """Wait for a place in ``lane``, keep it, and give it back.

        Raises:
            Overloaded: the queue is too long, the wait was, or ``leaving`` said that nobody waits any more.

        """
        await self._enter(lane, leaving)
        try:
            yield
        finally:
            self._leave()

    async def __aenter__(self) -> None:
        """Wait for a place.

        Raises:
            Overloaded: the queue is too long, or the wait was.

        """
        await self._enter(Lane.PUBLIC, None)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the place to the one who has waited longest."""
        self._leave()

    async def _enter(self, lane: Lane, leaving: Leaving | None) -> None:
        if self.inside < self._width:
            self.inside += 1
            return
        line, wait = self._lines[lane], self._wait_in(lane)
        # A few may always wait: by them it shows whether the pace is better now.
        if len(line) >= self._queue or (len(line) >= self._width and wait > self._patience):
            raise Overloaded(wait=wait)
        if not self.waiting:
            self._last_turn = time.monotonic()
        place = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            await self._granted(place, leaving)
        except BaseException:
            if place in line:
                line.remove(place)
            elif _is_granted(place):
                # Whoever was called and does not come lets the next one in.
                self._leave()
            raise

    async def _granted(self, place: asyncio.Future[None], leaving: Leaving | None) -> None:
        """Wait until ``place`` is granted, or there is no use in it any more."""

        def give_up(_: object = None) -> None:
            if not place.done():
                place.set_exception(Overloaded(wait=self._patience))

        watch = None
        if leaving is not None:
            watch = asyncio.ensure_future(leaving())
            watch.add_done_callback(give_up)
        timer = None
        if self._patience < math.inf:
            timer = asyncio.get_running_loop().call_later(self._patience, give_up)
        try:
            await place
        finally:
            if timer is not None:
                timer.cancel()
            if watch is not None:
                watch.remove_done_callback(give_up)
                watch.cancel()

    def _wait_in(self, lane: Lane) -> float:
        """Judge how long a newcomer would wait in ``lane``, in seconds."""
        door, public = len(self._lines[Lane.DOOR]), len(self._lines[Lane.PUBLIC])
        if lane is Lane.DOOR:
            turns = door + 1 + min(public, (door + 1) // DOOR_IN_A_ROW)
        else:
            turns = public + 1 + min(door, (public + 1) * DOOR_IN_A_ROW)
        return turns * self._pace.seconds

    def _leave(self) -> None:
        """Give the place to the one whose turn it is, if anybody waits."""
        self.inside -= 1
        while (line := self._next_line()) is not None:
            place = line.popleft()
            if not place.done():
                now = time.monotonic()
                self._pace.note(now - self._last_turn)
                self._last_turn = now
                self.inside += 1
                place.set_result(None)
                return

    def _next_line(self) -> deque[asyncio.Future[None]] | None:
        door, public = self._lines[Lane.DOOR], self._lines[Lane.PUBLIC]
        if door and (not public or self._door_in_a_row < DOOR_IN_A_ROW):
            self._door_in_a_row += 1
            return door
        self._door_in_a_row = 0
        return public or None


def _is_granted(place: asyncio.Future[None]) -> bool:
    return place.done() and not place.cancelled() and place.exception() is None


class Threads:
    """A few threads of their own for work that is heavy, behind a gate."""

    def __init__(self, threads: int, queue: int, patience: float = math.inf) -> None:
        """Work on ``threads`` at once; let ``queue`` wait, for ``patience`` seconds each."""
        self.gate = Gate(threads, queue, patience)
        self._threads = CapacityLimiter(threads)

    async def run(self, work: Callable[..., Done], *about: Any) -> Done:
        """Do ``work(*about)`` in its turn, and return what it returns.

        Raises:
            Overloaded: the queue is too long, or the wait was.

        """
        async with self.gate:
            return await to_thread.run_sync(work, *about, limiter=self._threads)
