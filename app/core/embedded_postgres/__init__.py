"""A PostgreSQL server of our own, for a clone that was given no database.

All processes of a clone share it: the first user starts it and the last one out stops
it. It outlives a user that is killed, and whoever comes next joins it, or starts it
again and lets it recover. Two locks beside the data make that safe:

    <data>.lock    held alone, briefly, by whoever starts or stops the server
    <data>.users   held together by all users for as long as they live; who leaves and
                   can take it alone was the last

The operating system lets go of both when their holder dies.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from fasteners import InterProcessReaderWriterLock

from app.core.embedded_postgres import binaries, places
from app.core.embedded_postgres.clusters import Cluster
from app.core.embedded_postgres.commands import EmbeddedPostgresError

__all__ = ["EmbeddedPostgresError", "running"]


@dataclass
class _Use:
    """Count the uses that this process makes of one data directory."""

    lock: InterProcessReaderWriterLock
    count: int = 0


# The locks belong to the process: opening and closing the file a second time would let
# go of the first use too. So a process holds each lock once and counts.
_uses: dict[Path, _Use] = {}
_one_thread = threading.Lock()


@contextmanager
def running(data_dir: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Keep a server running on `data_dir` and yield the URL of database `mis_eventos`.

    The directory and the database are made if they are missing. `settings` are server
    parameters by name; they take effect if this call starts the server, while one that
    already runs keeps its own. Raises `EmbeddedPostgresError`.
    """
    try:
        cluster = _settle(data_dir.parent.resolve() / data_dir.name)
        url = _enter(cluster, settings or {})
    except PermissionError as error:
        message = (
            f"The embedded PostgreSQL may not use {data_dir} ({error}). If another "
            "user made it, perhaps root, run as that user, or set DATABASE_URL."
        )
        raise EmbeddedPostgresError(message) from error
    except (OSError, psycopg2.Error) as error:
        message = f"The embedded PostgreSQL cannot use {data_dir}: {error}"
        raise EmbeddedPostgresError(message) from error
    try:
        yield url
    finally:
        _leave(cluster)


def _settle(data_dir: Path) -> Cluster:
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with _alone(data_dir):
        place = places.find_or_choose(data_dir)
        programs = binaries.locate(place.account)
        cluster = Cluster(place.directory, place.account, programs)
        cluster.ensure_made()
    return cluster


def _enter(cluster: Cluster, settings: Mapping[str, str]) -> str:
    with _alone(cluster.directory):
        use = _uses.get(cluster.directory)
        if use is None:
            lock = InterProcessReaderWriterLock(_beside(cluster.directory, "users"))
            lock.acquire_read_lock()
            use = _uses[cluster.directory] = _Use(lock)
        use.count += 1
        try:
            return cluster.ensure_running(settings)
        except BaseException:
            _let_go(cluster)
            raise


def _leave(cluster: Cluster) -> None:
    with _alone(cluster.directory):
        _let_go(cluster)


def _let_go(cluster: Cluster) -> None:
    use = _uses[cluster.directory]
    use.count -= 1
    if use.count:
        return
    del _uses[cluster.directory]
    use.lock.release_read_lock()
    if use.lock.acquire_write_lock(blocking=False):
        try:
            cluster.stop()
        finally:
            use.lock.release_write_lock()
    else:
        # A refused lock leaves its file open.
        use.lock.lockfile.close()


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    lock = InterProcessReaderWriterLock(_beside(data_dir, "lock"))
    with _one_thread, lock.write_lock(max_delay=0.02):
        yield


def _beside(data_dir: Path, what: str) -> Path:
    return data_dir.with_name(f"{data_dir.name}.{what}")
