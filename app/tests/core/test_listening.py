import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn

from app.core.listening import AT_ONCE, listeners

CROWD = 200


def loops() -> list[Any]:
    found: list[Any] = [pytest.param(asyncio.run, id="asyncio")]
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - there is none for Windows

        found.append(pytest.param(uvloop.run, id="uvloop"))
    return found


@pytest.fixture
def bound() -> Iterator[list[socket.socket]]:
    """Yield what listens on one free port."""
    with ExitStack() as stack:
        found = listeners(uvicorn.Config("app.main:app", host="127.0.0.1", port=0, log_config=None))
        for one in found:
            stack.enter_context(one)
        yield found


@pytest.mark.parametrize("run", loops())
def test_a_crowd_that_comes_at_once_is_let_in_within_a_few_turns_of_the_event_loop(
    run: Callable[[Coroutine[Any, Any, int]], int], bound: list[socket.socket]
) -> None:
    assert run(turns_until_all_are_in(bound)) <= CROWD // AT_ONCE + 4


def test_one_socket_would_let_a_crowd_in_one_after_the_other(bound: list[socket.socket]) -> None:
    uvloop = pytest.importorskip("uvloop", reason="there is no uvloop for Windows")
    assert uvloop.run(turns_until_all_are_in(bound[:1])) >= CROWD


async def turns_until_all_are_in(bound: list[socket.socket]) -> int:
    """Count the turns of a loop that has other work in each."""
    loop = asyncio.get_running_loop()
    arrived: list[asyncio.BaseTransport] = []

    class Door(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            arrived.append(transport)

    servers = [await loop.create_server(Door, sock=one, backlog=CROWD) for one in bound]
    turns = 0
    with ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(socket.create_connection(bound[0].getsockname()))
        while len(arrived) < CROWD and turns <= CROWD:
            turns += 1
            await asyncio.sleep(0)
        for transport in arrived:
            transport.close()
    for server in servers:
        server.close()
    return turns
