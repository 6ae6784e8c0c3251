"""Threads that take work from the event loop, on the shortest way there and back."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from anyio import CancelScope

Done = TypeVar("Done")

SECONDS_TO_END = 10.0


class _Task(NamedTuple):
    work: Callable[[], Any]
    context: Context
    answer: asyncio.Future[Any]

    def do(self) -> None:
        """Do the work, as whoever handed it over, and tell the event loop what came of it."""
        tell, told = self.answer.set_result, None
        try:
            told = self.context.run(self.work)
        except StopIteration as error:
            # No future takes one: it would end the coroutine that waits.
            tell, told = self.answer.set_exception, RuntimeError(f"the work raised {error!r}")
        except BaseException as error:  # noqa: BLE001 - it is raised to whoever waits for the work
            tell, told = self.answer.set_exception, error
        try:
            self.answer.get_loop().call_soon_threadsafe(tell, told)
        except RuntimeError:
            # The loop has ended, and waits for nothing.
            return
        finally:
            # An error holds this frame, and would be held by it.
            del told


class ThreadPool:
    """So many threads, which end with the pool.

    A request that only reads takes half a millisecond, and a trip to a thread by way of the framework a fifth
    of that. Here it is about half as long: one queue, no limiter of its own, no list of idle threads. So
    whoever hands work over has to see to it that no more of it comes than there are threads for.
    """

    def __init__(self, threads: int, name: str) -> None:
        """Have up to ``threads``, which begin with the first work, and ``name`` in the name of each."""
        self._size, self._name = threads, name
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    async def run(self, work: Callable[[], Done]) -> Done:
        """Do ``work`` in a thread, and return what it returns; whoever is cancelled still waits for its end.

        Raises:
            RuntimeError: the pool is closed.
            Exception: whatever ``work`` raises.

        """
        if self._closed:
            raise RuntimeError("the threads have ended")
        if not self._threads:
            self._begin()
        answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._tasks.put(_Task(work, copy_context(), answer))
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            with CancelScope(shield=True):
                await asyncio.wait([answer])
            raise

    def close(self) -> None:
        """End the threads, once they have done what they were handed; one that is stuck is left behind."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        until = time.monotonic() + SECONDS_TO_END
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _begin(self) -> None:
        names = (f"{self._name}-{n}" for n in range(self._size))
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.do()
            # The loop variable would keep the answer of the last request until the next one.
            del task
