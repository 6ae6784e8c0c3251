"""Running PostgreSQL's own programs, as ourselves or as an unprivileged account."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# What a program of PostgreSQL needs of our environment. The rest stays here: it
# may hold secrets, and the PG* variables of a developer's shell change defaults.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP")


class EmbeddedPostgresError(Exception):
    """Say in one paragraph why the embedded server cannot be used, and what to do."""


@dataclass(frozen=True)
class Account:
    """Name the user that serves the data where we, being root, may not."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Outcome:
    """Hold what a finished program left: whether it succeeded and what it printed."""

    succeeded: bool
    output: str


def run(
    program: Path,
    *arguments: str | Path,
    account: Account | None = None,
    hand_down: int | None = None,
) -> Outcome:
    """Run a program to its end, with no terminal, away from our process group.

    `hand_down` is a file descriptor that the program inherits. Raises
    `EmbeddedPostgresError` if the program cannot be executed at all.
    """
    # A file and not a pipe: on Windows the server inherits pg_ctl's output, and
    # reading a pipe to its end would wait for as long as the server runs.
    with tempfile.TemporaryFile() as printed:
        try:
            finished = subprocess.run(  # noqa: S603 - only programs of PostgreSQL and /bin/sh
                [program, *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                # Ours may be a folder that the account cannot enter.
                cwd="/",
                env=_environment(),
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                pass_fds=() if hand_down is None else (hand_down,),
                # Or Ctrl-C, which goes to the whole group, would reach the server.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except (OSError, subprocess.SubprocessError) as error:
            who = f"as user id {account.uid}" if account else "as the current user"
            message = f"{program} could not be run {who}: {error}"
            raise EmbeddedPostgresError(message) from error
        printed.seek(0)
        output = printed.read().decode(errors="replace").strip()
    return Outcome(finished.returncode == 0, output)


def succeeds(program: Path, *arguments: str | Path, account: Account) -> bool:
    """Tell by trying whether an account can run a program, and with success."""
    try:
        return run(program, *arguments, account=account).succeeded
    except EmbeddedPostgresError:
        return False


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    # TZ spares initdb a comparison of every known zone with the machine's clock.
    kept |= {"LC_ALL": "C", "TZ": "UTC"}
    if sys.platform != "win32":
        kept |= {"HOME": "/"}
    return kept
