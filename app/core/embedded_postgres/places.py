"""Where the data really lies and who serves it, also when we are root.

PostgreSQL refuses to run as root, so root hands the data to an unprivileged account.
No permission of a folder that is not ours is ever changed for it: where the account
cannot reach the project, the data directory becomes a link into the system's own place
for state.
"""

import logging
import os
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.core.embedded_postgres.commands import Account, EmbeddedPostgresError, succeeds

if sys.platform != "win32":
    import pwd

STATE_DIRECTORY = Path(
    "/Library/Application Support/mis-eventos" if sys.platform == "darwin" else "/var/lib/mis-eventos"
)
UNPRIVILEGED_ACCOUNTS = ("postgres", "_postgres", "nobody")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Name the real directory of the data and the account that serves it, if not us."""

    directory: Path
    account: Account | None


def is_made(directory: Path) -> bool:
    """Tell whether a directory holds a database cluster."""
    return (directory / "PG_VERSION").exists()


def find_or_choose(data_dir: Path) -> Place:
    """Find where the data of `data_dir` lies, or choose where it is going to.

    A chosen place does not exist yet; making it is left to the caller.
    """
    if is_made(data_dir):
        return _find(data_dir.resolve())
    if data_dir.is_symlink() and data_dir.readlink().parent == STATE_DIRECTORY:
        # A first start was killed, or the data are lost. The same name again lets
        # the maker of the data sweep away what it left half-made.
        directory = ensure_state_directory() / data_dir.readlink().name
        return Place(directory, _unprivileged_account())
    _clear(data_dir)
    if sys.platform == "win32" or os.geteuid() != 0:
        return Place(data_dir, None)
    account = _unprivileged_account()
    if _can_enter(data_dir.parent, account):
        return Place(data_dir, account)
    # Random, and not derived from the path: a new clone in the place of a deleted
    # one starts empty.
    directory = ensure_state_directory() / secrets.token_hex(8)
    data_dir.symlink_to(directory, target_is_directory=True)
    return Place(directory, account)


def ensure_state_directory() -> Path:
    """Make the system's folder for our state, where all may enter and root write."""
    if not STATE_DIRECTORY.exists():
        STATE_DIRECTORY.mkdir(parents=True, exist_ok=True)
        # Whatever the umask says.
        STATE_DIRECTORY.chmod(0o755)
    return STATE_DIRECTORY


def _find(directory: Path) -> Place:
    if sys.platform == "win32":
        return Place(directory, None)
    owner = directory.stat()
    if os.geteuid() == owner.st_uid:
        return Place(directory, None)
    # The owner and not the account of today: PostgreSQL serves only what is its own,
    # and the data may have been made without root.
    account = Account(owner.st_uid, owner.st_gid)
    if not _can_enter(directory, account):
        message = (
            f"The data in {directory} is served by user id {owner.st_uid}, who can no "
            "longer enter a folder above it: let that user pass, or move the project "
            "back to where it was."
        )
        raise EmbeddedPostgresError(message)
    return Place(directory, account)


def _clear(data_dir: Path) -> None:
    """Remove what a place for new data may hold: nothing, or a link to nowhere."""
    if data_dir.is_symlink() and not data_dir.exists():
        logger.warning("There are no data in %s; starting empty.", data_dir.readlink())
        data_dir.unlink()
    elif data_dir.exists():
        if not data_dir.is_dir() or any(data_dir.iterdir()):
            message = f"{data_dir} holds something that is not a PostgreSQL cluster."
            raise EmbeddedPostgresError(message)
        data_dir.rmdir()


def _can_enter(directory: Path, account: Account) -> bool:
    # Tried by the account itself: modes do not tell of access lists and mounts.
    return succeeds(Path("/bin/sh"), "-c", 'test -x "$1"', "sh", directory, account=account)


def _unprivileged_account() -> Account:
    if sys.platform != "win32":
        for name in UNPRIVILEGED_ACCOUNTS:
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return Account(entry.pw_uid, entry.pw_gid)
    message = (
        "PostgreSQL refuses to run as root, and this system has none of the accounts "
        f"{', '.join(UNPRIVILEGED_ACCOUNTS)}: run as another user, or set DATABASE_URL."
    )
    raise EmbeddedPostgresError(message)
