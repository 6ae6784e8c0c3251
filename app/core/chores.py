"""Work that comes round while the service runs, beside the requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

logger = logging.getLogger(__name__)


@asynccontextmanager
async def every(seconds: float, chore: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do ``chore`` again and again, ``seconds`` apart, until the context ends; a failure is logged."""

    async def go_round() -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await chore()
            except Exception:
                logger.exception("a chore failed; it comes round again in %.0f s", seconds)

    task = asyncio.create_task(go_round())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
