"""The baseline at its best: no more requests at once than it has connections, so that it cannot collapse.

Without the gate no size of pool and threads helps: requests that hold a connection wait for a thread, and
those that hold the threads wait for a connection.
"""

import os

from anyio import CapacityLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.baseline import app

AT_ONCE = int(os.environ.get("BASELINE_AT_ONCE", "20"))


class _Gate:
    """Let a few requests in at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._places = CapacityLimiter(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            async with self._places:
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


app.add_middleware(_Gate)
