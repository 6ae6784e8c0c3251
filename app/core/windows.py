"""Counting how often something happens in a window of time: in this process, or in a Redis for many.

A window begins with the first hit and ends so many seconds later, however many hits there are meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

from limits.aio.storage import RedisStorage

Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")

PATIENCE_SECONDS = 1.0
SECONDS_BETWEEN_TRIES = 1.0
CONNECTIONS = 8
FEWEST_SWEPT = 1_024

logger = logging.getLogger(__name__)


class Away(Exception):  # noqa: N818 - a state, which each limit has its answer to
    """Nobody can count now."""


class Windows(Protocol):
    """What counts. Each of these raises ``Away`` when it cannot."""

    async def hit(self, key: str, seconds: int) -> tuple[int, float | None]:
        """Count one more, in a new window of ``seconds`` if there is none.

        Return how many there are, and the seconds left where that costs nothing to know.
        """

    async def left(self, key: str) -> float:
        """Return how many seconds are left of the window, 0 without one."""

    async def is_open(self, key: str) -> bool:
        """Tell whether there is a window."""

    async def forget(self, key: str) -> None:
        """End the window."""

    async def close(self) -> None:
        """Give back what is held."""


@dataclass(slots=True)
class _Window:
    ends_at: float
    hits: int = 0


class Memory:
    """Windows in this process.

    The library's own memory walks all its keys in a task of its own as often as there are hits, which with
    the crowd of a sale is most of what the event loop would do. Here, old windows are swept out when there
    are twice as many as the last sweep has left, so that a hit costs the same however many keys there are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell the time, in seconds, by ``clock``."""
        self._now = clock
        self._windows: dict[str, _Window] = {}
        self._sweep_at = FEWEST_SWEPT

    def __len__(self) -> int:
        """Count the windows that are kept."""
        return len(self._windows)

    async def hit(self, key: str, seconds: int) -> tuple[int, float | None]:
        """Count one more."""
        now = self._now()
        window = self._windows.get(key)
        if window is None or window.ends_at <= now:
            window = self._windows[key] = _Window(now + seconds)
            if len(self._windows) >= self._sweep_at:
                self._sweep(now)
        window.hits += 1
        return window.hits, window.ends_at - now

    async def left(self, key: str) -> float:
        """Return how many seconds are left of the window."""
        window = self._windows.get(key)
        return max(0.0, window.ends_at - self._now()) if window else 0.0

    async def is_open(self, key: str) -> bool:
        """Tell whether there is a window."""
        return await self.left(key) > 0

    async def forget(self, key: str) -> None:
        """End the window."""
        self._windows.pop(key, None)

    async def close(self) -> None:
        """Hold nothing that could be given back."""

    def _sweep(self, now: float) -> None:
        self._windows = {key: window for key, window in self._windows.items() if window.ends_at > now}
        self._sweep_at = max(FEWEST_SWEPT, 2 * len(self._windows))


class Redis:
    """Windows in a Redis that several processes and machines share, and that may be away.

    One that does not answer within a second is away. From then on nobody asks it but one request a
    second, and everybody else is told so at once. The log has a line when it goes and one when it is back.
    """

    def __init__(self, url: str) -> None:
        """Count in the Redis at ``url``, and connect when first asked."""
        # Only who counts in Redis waits for its client to be imported.
        from redis.asyncio import ConnectionPool  # noqa: PLC0415

        self._pool = ConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_connect_timeout=PATIENCE_SECONDS,
            socket_timeout=PATIENCE_SECONDS,
        )
        self._storage = RedisStorage(
            url,
            implementation="redispy",
            key_prefix="mis-eventos",
            connection_pool=self._pool,  # type: ignore[arg-type]  # handed on to the client as it is
        )
        self._lanes = asyncio.Semaphore(CONNECTIONS)
        self._away_since: float | None = None
        self._next_try = -inf

    async def hit(self, key: str, seconds: int) -> tuple[int, float | None]:
        """Count one more; how much is left of the window would be another question."""
        return await self._ask(self._storage.incr, key, seconds), None

    async def left(self, key: str) -> float:
        """Return how many seconds are left of the window."""
        return max(0.0, await self._ask(self._storage.get_expiry, key) - time.time())

    async def is_open(self, key: str) -> bool:
        """Tell whether there is a window."""
        return await self._ask(self._storage.get, key) > 0

    async def forget(self, key: str) -> None:
        """End the window."""
        await self._ask(self._storage.clear, key)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()

    async def _ask(
        self, question: Callable[Asked, Awaitable[Answer]], *about: Asked.args, **more: Asked.kwargs
    ) -> Answer:
        async with self._lanes:
            # Asked in the lane: whoever stood before it when Redis went away does not wait for it as well.
            trying = self._may_try()
            try:
                answer = await question(*about, **more)
            except Exception as error:
                self._note_away(error)
                raise Away from error
            if trying:
                self._note_back()
            return answer

    def _may_try(self) -> bool:
        """Tell whether this request is the one that finds out whether Redis is back.

        Raises:
            Away: it is not, and nobody has to be asked.

        """
        if self._away_since is None:
            return False
        now = time.monotonic()
        if now < self._next_try:
            raise Away
        self._next_try = now + SECONDS_BETWEEN_TRIES
        return True

    def _note_away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._next_try = self._away_since + SECONDS_BETWEEN_TRIES
            # Not what the error says: that could be the address, and the password in it.
            logger.error("the Redis of the rate limits is away (%s)", type(error).__name__)

    def _note_back(self) -> None:
        if self._away_since is not None:
            gone = time.monotonic() - self._away_since
            self._away_since = None
            logger.warning("the Redis of the rate limits is back, after %.1f s", gone)


def can_count_at(url: str) -> bool:
    """Tell whether ``windows_at`` takes ``url``; whether anybody answers there, nobody is asked."""
    if url == "memory://":
        return True
    from redis.asyncio import ConnectionPool, RedisError  # noqa: PLC0415 - as above

    try:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname or parts.port == 0:
            return False
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):
        return False
    return True


def windows_at(url: str) -> Windows:
    """Count where ``url`` says: ``memory://`` here, ``redis://…`` or ``rediss://…`` there."""
    return Memory() if url == "memory://" else Redis(url)
