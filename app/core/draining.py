"""Leaving in order: say so first, and stop once whoever sends requests has had the time to hear it."""

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)


class Draining:
    """What happens between SIGTERM and the end of the server: for some seconds, all as ever but readiness.

    A server closes its door at once on SIGTERM, and a balancer that has not asked meanwhile goes on sending.
    """

    def __init__(self, seconds: float) -> None:
        """Go on for ``seconds``."""
        self.begun = False
        self.seconds = seconds

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM before the server does, and pass it on when the time is over or it comes again."""
        # Signals can only be listened to from the main thread.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        servers = signal.getsignal(signal.SIGTERM)

        def pass_on() -> None:
            signal.signal(signal.SIGTERM, servers)
            signal.raise_signal(signal.SIGTERM)

        def begin(_: int, __: FrameType | None) -> None:
            wait = 0 if self.begun else self.seconds
            self.begun = True
            if not wait:
                pass_on()
                return
            logger.info("asked to stop: not ready any more, and gone in %g s", wait)
            loop.call_soon_threadsafe(loop.call_later, wait, pass_on)

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, servers)
