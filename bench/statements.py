"""How many statements a batch of registrations takes, counted as SQLAlchemy sends them."""

from collections.abc import Sequence

from sqlalchemy import event

from app.schemas.registrations import Application, RegistrationMade
from app.services.registrations import admit
from bench.audit import store_of
from bench.data import claims
from bench.load import BrokenRunError
from bench.rig import Rig


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
