"""A bounded queue in front of something scarce, so that waiting costs nothing and never piles up."""

from types import TracebackType

import anyio

from app.core.exceptions import Overloaded


class Gate:
    """Let ``width`` callers in at a time, first come first served; past ``queue`` waiting, refuse at once.

    Callers wait in the event loop, where they hold neither a thread nor a connection. Both being taken
    separately is what makes the usual shape collapse: requests that hold a connection wait for a thread
    while those that hold the threads wait for a connection.
    """

    def __init__(self, width: int, queue: int) -> None:
        """Admit ``width`` at once and let ``queue`` wait."""
        self._queue = queue
        self._limiter = anyio.CapacityLimiter(width)

    @property
    def waiting(self) -> int:
        """Count the callers that wait now."""
        return self._limiter.statistics().tasks_waiting

    @property
    def inside(self) -> int:
        """Count the callers that are in now."""
        return self._limiter.statistics().borrowed_tokens

    async def __aenter__(self) -> None:
        """Wait for a place.

        Raises:
            Overloaded: the queue is as long as it may get.

        """
        if self._limiter.available_tokens < 1 and self.waiting >= self._queue:
            raise Overloaded
        await self._limiter.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the place to the one who has waited longest."""
        self._limiter.release()
