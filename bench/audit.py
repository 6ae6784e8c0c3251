"""What must be true of the rows after a run; if it is not, the run has no figure."""

from sqlalchemy import Engine, text

from app.core.database import Store
from app.services.invariants import check
from bench.load import BrokenRunError
from bench.postgres import wait_until_quiet


def store_of(engine: Engine) -> Store:
    """Open the database as the service does, with an eye on every statement."""
    url = engine.url.render_as_string(hide_password=False)
    return Store(url, pool_size=1, queue_size=0, observed=True)


def registrations(engine: Engine, *, event: int | None = None) -> int:
    """Count the confirmed registrations, of one event or of all, by their rows."""
    confirmed = "SELECT count(*) FROM registrations WHERE status = 'CONFIRMED'"
    with engine.connect() as connection:
        if event is None:
            return int(connection.scalar(text(confirmed)) or 0)
        return int(connection.scalar(text(f"{confirmed} AND event_id = :event"), {"event": event}) or 0)


def audit(engine: Engine, *, least: int, most: int) -> None:
    """Check every invariant, and that there are as many registrations as were acknowledged.

    There may be some more than that: those of the requests that the end of the load cut off.

    Raises:
        BrokenRunError: something is wrong.

    """
    wait_until_quiet(engine)
    store = store_of(engine)
    try:
        with store.snapshot() as db:
            breaches = check(db)
    finally:
        store.close()
    found = registrations(engine)
    if breaches:
        message = "; ".join(f"{breach.meaning}: {breach.count}" for breach in breaches)
    elif not least <= found <= most:
        message = f"{found} registrations where {least} to {most} were acknowledged"
    else:
        return
    raise BrokenRunError(message)
