"""A real Redis for tests, on a free port, that may be killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")
PATIENCE_SECONDS = 30

needs_redis = pytest.mark.skipif(
    PROGRAM is None and os.environ.get("CI") != "true",
    reason="redis-server is not on PATH: run scripts/install-system-packages redis-server",
)


class RedisServer:
    """A Redis that keeps nothing."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None
        words = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
        self._process = subprocess.Popen(words, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def _send(self, what: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(what)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as asked:
                asked.sendall(b"PING\r\n")
                return asked.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run a Redis for as long as it is needed."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
