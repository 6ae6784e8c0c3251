"""Which statements work takes, as SQLAlchemy sends them, and how many a batch of registrations does."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import event

from app.core.database import Database, Store
from app.schemas.registrations import Application, RegistrationMade
from app.services.registrations import admit
from bench.audit import store_of
from bench.data import claims
from bench.load import BrokenRunError
from bench.rig import Rig


def sent_by(store: Store, work: Callable[[Database], object]) -> list[tuple[str, Any]]:
    """Return the statements of ``work``, each with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    # The first time, a process also asks the server who it is.
    with store.job() as db:
        work(db)
    event.listen(store.engine, "before_cursor_execute", note)
    with store.job() as db:
        work(db)
    event.remove(store.engine, "before_cursor_execute", note)
    return sent


def statements_per_batch(rig: Rig, sizes: Sequence[int]) -> list[int]:
    """Count the statements of a batch of each size, everybody at an event of their own.

    Raises:
        BrokenRunError: somebody was refused, which takes fewer.

    """
    rig.world.fill(rig.engine)
    store = store_of(rig.engine)
    sent: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *about: sent.append(about[2]))
    serve = store.serving(admit)
    counts = []
    try:
        for place, size in enumerate(sizes):
            # The first batch of a process also asks the server who it is.
            with store.job() as db:
                db.connection()
            sent.clear()
            batch = [Application(claims(n), n + place) for n in range(1, size + 1)]
            refused = [made for made in serve(batch) if not isinstance(made, RegistrationMade)]
            if refused:
                message = f"{len(refused)} of a batch of {size} were refused, the first with {refused[0]!r}"
                raise BrokenRunError(message)
            counts.append(len(sent))
    finally:
        store.close()
    return counts
