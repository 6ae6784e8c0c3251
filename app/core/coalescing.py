"""Serving many requests with one piece of work. Knows nothing of what is served."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from app.core.exceptions import Overloaded
from app.core.gate import Pace

Member = TypeVar("Member")
Outcome = TypeVar("Outcome")
Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

logger = logging.getLogger(__name__)


def _unnoticed(*_: object) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Counters:
    """What a group commit has done since it began; waits are in seconds."""

    batches: int = 0
    members: int = 0
    largest_batch: int = 0
    retried_one_by_one: int = 0
    refused: int = 0
    waited: float = 0.0
    longest_wait: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Member, Outcome]):
    member: Member
    answer: "asyncio.Future[Outcome]"
    since: float


class GroupCommit(Generic[Member, Outcome]):
    """Serve requests that wait together by one transaction, in the order in which they came.

    While a batch is served, those who come wait; the next batch takes them all. There is no timer, so a
    lone request is a batch of one and waits for nothing. ``serve`` runs in one thread of its own. It takes
    the members in order of arrival and returns an outcome for each, an exception for one it refuses. If it
    raises instead, the members are served again one by one, so that a bad one cannot fail its neighbours;
    unless it raises one of ``common``, which would meet them all, and which each is then given.

    Nobody waits in vain: past ``queue``, or where the pace of the batches says that ``patience`` (in seconds)
    would run out, a member is refused at once, and after so long in the queue as well.
    """

    def __init__(  # noqa: PLR0913 - each is an option
        self,
        serve: Callable[[Sequence[Member]], Sequence[Outcome | Exception]],
        *,
        queue: int,
        patience: float = math.inf,
        largest: int = 200,
        common: tuple[type[Exception], ...] = (),
        notice: Callable[[Sequence[object], float], None] = _unnoticed,
    ) -> None:
        """Let ``queue`` members wait, for ``patience`` seconds; take up to ``largest`` into one batch.

        ``notice`` is told of each batch: the outcomes, and how many seconds its first member had waited.
        """
        self.counters = Counters()
        self._serve = serve
        self._queue = queue
        self._patience = patience
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._largest = largest
        self._common = common
        self._notice = notice
        self._waiting: deque[_Waiting[Member, Outcome]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-commit")
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Count those who wait for the next batch."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take in nobody more, answer all who were taken in, and end."""
        self._closed = True
        if self._worker is not None:
            await asyncio.shield(self._worker)
        self._thread.shutdown()

    async def submit(self, member: Member) -> Outcome:
        """Wait for the outcome of ``member``; whoever stops waiting is served all the same.

        Raises:
            Overloaded: as many wait as may, or the wait is too long.
            Exception: whatever ``serve`` refuses the member with.

        """
        wait = 0.0
        if self._worker is not None:
            wait = (1 + len(self._waiting) // self._largest) * self._pace.seconds
        full = self._worker is not None and (len(self._waiting) >= self._queue or wait > self._patience)
        if self._closed or full:
            self.counters.refused += 1
            raise Overloaded(wait=wait)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(member, answer, time.perf_counter()))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        elif self._timer is None and self._patience < math.inf:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._refuse_late)
        return await answer

    def _refuse_late(self) -> None:
        """Refuse those who have waited for too long, and come again for the next."""
        self._timer = None
        now = time.perf_counter()
        while self._waiting and (left := self._waiting[0].since + self._patience - now) <= 0:
            self.counters.refused += 1
            _answer(self._waiting.popleft(), Overloaded(wait=self._patience))
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(left, self._refuse_late)

    async def _work(self) -> None:
        """Serve batch after batch until nobody waits."""
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest))]
                longest_wait = self._count(batch)
                members = [entry.member for entry in batch]
                began = time.perf_counter()
                outcomes = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._outcomes, members
                )
                self._pace.note(time.perf_counter() - began)
                for entry, outcome in zip(batch, outcomes, strict=True):
                    _answer(entry, outcome)
                self._notice(outcomes, longest_wait)
        finally:
            self._worker = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _outcomes(self, members: Sequence[Member]) -> Sequence[Outcome | Exception]:
        try:
            return self._served(members)
        except self._common as error:
            logger.warning("a batch of %d failed: %s", len(members), error)
            return [error] * len(members)
        except Exception as error:
            if len(members) == 1:
                return [error]
            logger.exception("a batch of %d failed; serving its members one by one", len(members))
        self.counters.retried_one_by_one += len(members)
        outcomes: list[Outcome | Exception] = []
        for member in members:
            # What would meet everybody is not waited for once more by each.
            before = outcomes[-1] if outcomes else None
            outcomes.append(before if isinstance(before, self._common) else self._outcomes([member])[0])
        return outcomes

    def _served(self, members: Sequence[Member]) -> Sequence[Outcome | Exception]:
        outcomes = self._serve(members)
        if len(outcomes) != len(members):
            message = f"{len(members)} members got {len(outcomes)} outcomes"
            raise RuntimeError(message)
        return outcomes

    def _count(self, batch: Sequence[_Waiting[Member, Outcome]]) -> float:
        """Count a batch, and return how long its first member has waited."""
        now = time.perf_counter()
        counters = self.counters
        counters.batches += 1
        counters.members += len(batch)
        counters.largest_batch = max(counters.largest_batch, len(batch))
        counters.waited += sum(now - entry.since for entry in batch)
        longest_wait = now - batch[0].since
        counters.longest_wait = max(counters.longest_wait, longest_wait)
        return longest_wait


@dataclass(slots=True, eq=False)
class _Look(Generic[Found]):
    """A look that is to be taken, and those who wait for it, each by themselves: any of them may go."""

    readers: "list[asyncio.Future[Found]]" = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def answer(self, found: Found) -> None:
        for reader in self.readers:
            if not reader.done():
                reader.set_result(found)

    def refuse(self, error: Exception) -> None:
        for reader in self.readers:
            if not reader.done():
                reader.set_exception(error)


@dataclass(slots=True, eq=False)
class _Flight(Generic[Found]):
    """The looks at one key, one after the other, as long as somebody waits for the next."""

    next: _Look[Found] | None = None
    task: "asyncio.Task[None] | None" = None


class SharedReads(Generic[Key, Found]):
    """Let readers who ask for the same thing at the same time share one look at it.

    A reader shares the next look, never the one that is under way: what is found was looked up after the
    reader asked, so it holds all that was committed until then. Nothing is kept once it is handed over, so
    nothing can be stale. A lone reader waits for nobody, and a slow key holds up no other.

    Nobody waits in vain: a look that has not begun ``patience`` seconds after the first reader asked for it
    is not taken, and all who wait for it are refused.
    """

    def __init__(
        self,
        look: Callable[[Key], Awaitable[Found]],
        *,
        queue: int,
        patience: float = math.inf,
        notice: Callable[[int], None] = _unnoticed,
    ) -> None:
        """Let ``queue`` readers wait for others' looks, at whatever keys, ``patience`` seconds for one.

        ``notice`` is told of each look by how many readers it is shared.
        """
        self._look = look
        self._queue = queue
        self._patience = patience
        self._notice = notice
        self._flights: dict[Key, _Flight[Found]] = {}
        self.waiting = 0

    async def get(self, key: Key) -> Found:
        """Return what ``key`` is now; whoever stops waiting stops nobody else.

        Raises:
            Overloaded: as many wait as may, or the wait was too long.
            Exception: whatever ``look`` raises, to all who shared it.

        """
        loop = asyncio.get_running_loop()
        reader: asyncio.Future[Found] = loop.create_future()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(_Look([reader]))
            flight.task = loop.create_task(self._fly(key, flight))
            return await reader
        if self.waiting >= self._queue:
            raise Overloaded
        if flight.next is None:
            flight.next = _Look()
            if self._patience < math.inf:
                flight.next.timer = loop.call_later(self._patience, self._give_up, flight, flight.next)
        flight.next.readers.append(reader)
        self.waiting += 1
        try:
            return await reader
        finally:
            self.waiting -= 1

    def _give_up(self, flight: _Flight[Found], look: _Look[Found]) -> None:
        """Refuse all who wait for a look that has not begun."""
        if flight.next is look:
            flight.next = None
            look.refuse(Overloaded(wait=self._patience))

    async def _fly(self, key: Key, flight: _Flight[Found]) -> None:
        """Look ``key`` up for all who wait for it, and again for those who have come meanwhile."""
        try:
            while (look := flight.next) is not None:
                flight.next = None
                if look.timer is not None:
                    look.timer.cancel()
                self._notice(len(look.readers))
                try:
                    look.answer(await self._look(key))
                except asyncio.CancelledError:
                    for reader in look.readers:
                        reader.cancel()
                    raise
                except Exception as error:  # noqa: BLE001 - it is raised to all who shared the look
                    look.refuse(error)
        finally:
            del self._flights[key]


def _answer(entry: _Waiting[Member, Outcome], outcome: Outcome | Exception) -> None:
    if entry.answer.done():
        return
    if isinstance(outcome, Exception):
        entry.answer.set_exception(outcome)
    else:
        entry.answer.set_result(outcome)
