"""Listening for connections, and letting in a crowd that comes at once."""

import sys
from socket import socket

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess

AT_ONCE = 16
"""New connections that are taken in for each turn of the event loop."""

BACKLOG = 4_096
"""New connections that may wait for that; the kernel lets fewer wait where ``somaxconn`` says so."""


def listeners(config: uvicorn.Config) -> list[socket]:
    """Bind the address of ``config``, and return sockets to listen by, all for that one address.

    The loop of libuv takes in one connection a turn by each socket. When a sale opens, thousands come that
    are no connections yet, and a turn is long, since those who are in already are served in it: by one
    socket, most would wait for many seconds before they are even seen.
    """
    first = config.bind_socket()
    # What Windows waits with can wait for a socket only once.
    more = 0 if sys.platform == "win32" else AT_ONCE - 1
    return [first, *(first.dup() for _ in range(more))]


def serve(config: uvicorn.Config) -> None:
    """Serve as ``uvicorn.run`` does, by several sockets."""
    server = uvicorn.Server(config)
    sockets = listeners(config)
    try:
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=sockets).run()
        elif config.workers > 1:
            Multiprocess(config, sockets=sockets).run()
        else:
            server.run(sockets)
            if not server.started:
                sys.exit(STARTUP_FAILURE)
    except KeyboardInterrupt:
        pass
