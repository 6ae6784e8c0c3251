"""One database cluster: made whole or not at all, started, asked, stopped."""

import glob
import os
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, NoReturn

import psycopg2
from sqlalchemy import URL

from app.core.embedded_postgres import places
from app.core.embedded_postgres.commands import (
    Account,
    EmbeddedPostgresError,
    Outcome,
    run,
)

if sys.platform != "win32":
    import fcntl

DATABASE = "mis_eventos"
SUPERUSER = "postgres"
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.01
LOG_TAIL_LINES = 20

# The kernel keeps 104 bytes (macOS) or 108 (Linux) for the path of a socket.
LONGEST_SOCKET_PATH_BYTES = 100
SOCKET_NAME = ".s.PGSQL.5432"

# In postmaster.pid: process id, directory, start time, port, socket, address, ...
ADDRESS_LINE = 6

TRANSPORT: Literal["socket", "tcp"] = "tcp" if sys.platform == "win32" else "socket"

# Nothing here trades durability away: fsync and synchronous_commit stay on.
DEFAULT_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Cluster:
    """Serve one data directory with the given programs, as the given account.

    Its methods change what all users of the directory see: call them one at a time,
    under a lock that other processes respect.
    """

    directory: Path
    account: Account | None
    programs: Path

    @property
    def password_file(self) -> Path:
        """Name the file with the password that TCP connections must show."""
        return self.directory.with_name(f"{self.directory.name}.password")

    @property
    def log_file(self) -> Path:
        """Name the file where the server writes what happens to it."""
        return self.directory / "server.log"

    def ensure_made(self) -> None:
        """Make the cluster unless it is there.

        It is made under another name, so a kill leaves nothing half-made. Text sorts by
        code point and folds case as Unicode says, whatever the machine's locales.
        """
        prefix = f"{self.directory.name}.partial-"
        # Swept at every start: a first one that was killed may have left an initdb that
        # goes on writing while the second one sweeps.
        for leftover in self.directory.parent.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if places.is_made(self.directory):
            return
        partial = Path(tempfile.mkdtemp(prefix=prefix, dir=self.directory.parent))
        self._give(partial)
        self._write_new_password()
        made = self._run(
            "initdb",
            *("--pgdata", partial, "--username", SUPERUSER, "--encoding", "UTF8"),
            *("--locale", "C"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            # Who can open the socket is settled by the mode of its folder.
            *("--auth-local", "trust", "--auth-host", "scram-sha-256"),
            *("--pwfile", self.password_file, "--no-instructions"),
        )
        if not made.succeeded:
            shutil.rmtree(partial, ignore_errors=True)
            message = f"The data in {self.directory} could not be made: {made.output}"
            raise EmbeddedPostgresError(message)
        partial.rename(self.directory)

    def ensure_running(self, settings: Mapping[str, str]) -> str:
        """Start the server or join the one that runs, and return its URL.

        `settings` are for a server that is started here; one that already runs keeps
        its own. Raises `EmbeddedPostgresError`, with the end of the server's log.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (url := self._ask()) is None:
            # Also reached while a server that we did not start comes up or goes down:
            # its starter, or its last user, may have been killed.
            with self._sole_claim() as (claimed, claim):
                if claimed:
                    self._start(settings, claim)
            if time.monotonic() > deadline:
                self._fail("does not answer")
            time.sleep(POLL_SECONDS)
        return url

    def stop(self) -> None:
        """Stop the server, if it runs, and wait until it is gone.

        Open transactions are rolled back; what was committed is on disk.
        """
        if self._is_dead():
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_dead():
            self._pg_ctl("stop", "--mode=fast", "--wait")
            if time.monotonic() > deadline:
                self._fail("does not stop")
            time.sleep(POLL_SECONDS)
        if self._socket_directory() != self.directory:
            with suppress(OSError):
                self._socket_directory().rmdir()

    def _ask(self) -> str | None:
        """Return the URL of the server that answers for this directory, or None."""
        try:
            facts = (self.directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if len(facts) < ADDRESS_LINE:
            return None
        port, socket_directory, address = facts[ADDRESS_LINE - 3 : ADDRESS_LINE]
        password = None if socket_directory else self.password_file.read_text()
        try:
            connection = psycopg2.connect(
                host=socket_directory or address,
                port=port,
                user=SUPERUSER,
                password=password,
                dbname="postgres",
                connect_timeout=5,
            )
        except psycopg2.OperationalError:
            return None
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                # The file may be a leftover, and a stranger on that port by now.
                cursor.execute("SHOW data_directory")
                if not self._is_this_directory(cursor.fetchone()):
                    return None
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.rowcount == 0:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        url = URL.create("postgresql+psycopg2", SUPERUSER, database=DATABASE)
        if socket_directory:
            url = url.update_query_dict({"host": socket_directory, "port": port})
        else:
            url = url.set(password=password, host=address, port=int(port))
        return url.render_as_string(hide_password=False)

    def _is_this_directory(self, row: tuple[str, ...] | None) -> bool:
        try:
            return row is not None and self.directory.samefile(row[0])
        except OSError:
            return False

    @contextmanager
    def _sole_claim(self) -> Iterator[tuple[bool, int | None]]:
        """Claim the data for a server to be started; tell whether nobody else has it.

        The claim is a lock on an open file that every process of the server inherits,
        so it ends with the last of them, however they die. Windows has no such locks;
        there PostgreSQL recognises its own processes.
        """
        if sys.platform == "win32":
            yield not self._pg_ctl("status").succeeded, None
            return
        claim = os.open(self.directory / "PG_VERSION", os.O_RDONLY)
        try:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                claimed = False
            else:
                claimed = True
            yield claimed, claim
        finally:
            # Never unlocked, which would unlock it for the server too.
            os.close(claim)

    def _is_dead(self) -> bool:
        with self._sole_claim() as (claimed, _):
            return claimed

    def _start(self, settings: Mapping[str, str], claim: int | None) -> None:
        if claim is not None:
            # Whoever left these is dead. Should the process id in them name a stranger
            # by now, or a zombie, PostgreSQL would take that for a running server.
            (self.directory / "postmaster.pid").unlink(missing_ok=True)
            lock = self._socket_directory() / f"{SOCKET_NAME}.lock"
            lock.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        effective = DEFAULT_SETTINGS | dict(settings) | self._transport()
        options = [option for name, value in effective.items() for option in ("-c", f"{name}={value}")]
        quote = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
        started = self._pg_ctl(
            "start",
            f"--timeout={PATIENCE_SECONDS:.0f}",
            f"--log={self.log_file}",
            f"--options={quote(options)}",
            hand_down=claim,
        )
        if not started.succeeded:
            self._fail("does not start", started.output)

    def _transport(self) -> dict[str, str]:
        if TRANSPORT == "tcp":
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            return {
                "listen_addresses": "127.0.0.1",
                "port": str(port),
                "unix_socket_directories": "",
            }
        folder = self._socket_directory()
        if folder != self.directory:
            self._make_private(folder)
        quoted = str(folder).replace('"', '""')
        return {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": f'"{quoted}"',
            "unix_socket_permissions": "0700",
        }

    def _socket_directory(self) -> Path:
        too_long = len(os.fsencode(self.directory / SOCKET_NAME)) > LONGEST_SOCKET_PATH_BYTES
        # Clients take a comma for the end of one host and the start of another.
        if not too_long and "," not in str(self.directory):
            return self.directory
        name = sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path("/tmp", f"mis-eventos-{name}")  # noqa: S108

    def _make_private(self, folder: Path) -> None:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # Anyone can make that name first, to be let in on our connections.
        found = folder.lstat()
        ours = {os.geteuid(), self.account.uid if self.account else os.geteuid()}
        private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
        if not private or found.st_uid not in ours:
            message = f"{folder} is not private to us: remove it, or set DATABASE_URL."
            raise EmbeddedPostgresError(message)
        self._give(folder)

    def _write_new_password(self) -> None:
        self.password_file.unlink(missing_ok=True)
        self.password_file.touch(mode=0o600, exist_ok=False)
        self.password_file.write_text(secrets.token_urlsafe(32))
        self._give(self.password_file)

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def _pg_ctl(self, action: str, *options: str, hand_down: int | None = None) -> Outcome:
        return self._run("pg_ctl", action, "--pgdata", self.directory, *options, hand_down=hand_down)

    def _run(self, program: str, *arguments: str | Path, hand_down: int | None = None) -> Outcome:
        suffix = ".exe" if sys.platform == "win32" else ""
        path = self.programs / f"{program}{suffix}"
        return run(path, *arguments, account=self.account, hand_down=hand_down)

    def _fail(self, what: str, printed: str = "") -> NoReturn:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        tail = "\n".join(lines[-LOG_TAIL_LINES:]) or printed or "(empty)"
        message = f"The embedded PostgreSQL of {self.directory} {what}. Its log ends:\n{tail}"
        raise EmbeddedPostgresError(message)
