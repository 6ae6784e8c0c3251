"""PgBouncer in front of the tests' server: each transaction may find itself in another session."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
PATIENCE_SECONDS = 10

CONFIGURATION = """
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 2000
; Some tests hold two hundred transactions open at once, first in one database and then in another.
default_pool_size = 210
reserve_pool_size = 0
server_idle_timeout = 1
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
"""


@contextmanager
def pooling(server_url: str) -> Iterator[str]:
    """Run a PgBouncer in transaction mode before the server, and yield the address that it has there."""
    server = make_url(server_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        configuration = Path(folder, "pgbouncer.ini")
        configuration.write_text(CONFIGURATION.format(server=_address(server), port=port))
        words = [str(PROGRAM), "--quiet"]
        if os.geteuid() == 0:
            # It refuses to be root, like the server behind it.
            words += ["--user", _owner(server)]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen([*words, str(configuration)], stdout=log, stderr=log)
            try:
                _wait_until_it_listens(process, port)
                yield str(
                    URL.create(
                        server.drivername, server.username, "any", "127.0.0.1", port, server.database
                    ).render_as_string(hide_password=False)
                )
            finally:
                process.terminate()
                process.wait(PATIENCE_SECONDS)


def _address(server: URL) -> str:
    """Write where the server is as PgBouncer reads it."""
    query = {name: value for name, value in server.query.items() if name in {"host", "port"}}
    facts = {
        "host": query.get("host", server.host or "127.0.0.1"),
        "port": query.get("port", server.port or 5432),
        "user": server.username,
        "password": server.password,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items() if value)


def _owner(server: URL) -> str:
    """Name the account that may enter the folder of the server's socket, or one that may do nothing."""
    folder = server.query.get("host")
    if isinstance(folder, str) and folder.startswith("/"):
        return pwd.getpwuid(Path(folder).stat().st_uid).pw_name
    return "nobody"


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
