"""Whether the service can do its work."""

from app.core.database import Store
from app.core.exceptions import NotMigrated
from app.core.migrations import is_migrated
from app.schemas.health import Health


def alive() -> Health:
    """Say that the process runs."""
    return Health(status="ok")


def check(store: Store) -> Health:
    """Say that the database answers and is migrated, over a connection that waits behind no request.

    Raises:
        NotMigrated: the schema is not the one that this release needs.

    """
    with store.apart() as engine:
        if not is_migrated(engine):
            raise NotMigrated
    return Health(status="ok")
