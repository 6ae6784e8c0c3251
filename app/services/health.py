"""Whether the service can do its work."""

from app.core.database import Store, takes_writes
from app.core.exceptions import NotMigrated, ReadOnlyDatabase, Stopping
from app.core.migrations import is_migrated
from app.schemas.health import Health


def alive() -> Health:
    """Say that the process runs."""
    return Health(status="ok")


def check(store: Store, *, stopping: bool) -> Health:
    """Say that the database is fit for work, over a connection that waits behind no request.

    Raises:
        Stopping: the process was asked to stop.
        NotMigrated: the schema is not the one that this release needs.
        ReadOnlyDatabase: it takes no writes.

    """
    if stopping:
        raise Stopping
    with store.apart() as engine:
        if not is_migrated(engine):
            raise NotMigrated
        if not takes_writes(engine):
            raise ReadOnlyDatabase
    return Health(status="ok")
