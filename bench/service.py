"""Applications under load, each a process of its own on a free port of loopback."""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from app.core.settings import PROJECT
from bench.load import BrokenRunError

SERVICE = "app.main:app"
BASELINE = "bench.baseline:app"
GATED_BASELINE = "bench.gated_baseline:app"
CEILING = "bench.ceiling:app"

# The load comes from one address, and one person may send all of it. It is counted all the same.
WIDE = {
    f"RATE_LIMIT_{name}": "1000000000/minute"
    for name in ("SIGN_IN", "ACCOUNT", "SIGN_UP", "WRITES", "READS", "CHECK_INS")
}

START_SECONDS = 30
STOP_SECONDS = 5


class ServedWith(NamedTuple):
    """What an application needs to be told."""

    database_url: str
    secret: str
    workers: int
    queue_timeout: float = 60
    """Long, so that a suite measures what is served and not what is refused."""
    settings: Mapping[str, str] = WIDE


@contextmanager
def serving(application: str, served_with: ServedWith) -> Iterator[str]:
    """Serve ``application`` as long as needed, the service by its command line, and yield its address.

    Either application writes one line of log for a request: the service its own, the baseline uvicorn's.

    Raises:
        BrokenRunError: it does not get ready.

    """
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    events = [str(Path(sys.executable).with_name("events")), "serve"]
    words = events if application == SERVICE else [sys.executable, "-m", "uvicorn", application]
    words += ["--port", str(port), "--workers", str(served_with.workers)]
    if application == CEILING:
        words += ["--no-access-log"]
    known = {
        "DATABASE_URL": served_with.database_url,
        "SECRET_KEY": served_with.secret,
        "ENV": "prod",
        "DEBUG": "false",
        "QUEUE_TIMEOUT": str(served_with.queue_timeout),
        **served_with.settings,
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words, cwd=PROJECT, env={**os.environ, **known}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_until_ready(process, address, log)
            yield address
        finally:
            _stop(process)


def resident_mb(address: str) -> float:
    """Return how much memory the one process has that serves ``address``.

    Raises:
        BrokenRunError: there is no such process to be seen.

    """
    _, _, port = address.rpartition(":")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"\0--port\0{port}\0".encode() in (process / "cmdline").read_bytes():
                pages = int((process / "statm").read_text().split()[1])
                return pages * resource.getpagesize() / 2**20
    message = "the memory of the service cannot be seen"
    raise BrokenRunError(message)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    log.seek(0)
    message = f"the application did not get ready: {log.read().decode(errors='replace')[-1_000:]}"
    raise BrokenRunError(message)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Its workers too, which it can no longer stop; the group is the process's own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
