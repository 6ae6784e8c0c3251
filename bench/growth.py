"""How much memory a worker has as it registers more and more people."""

from collections.abc import Iterator, Sequence
from itertools import islice

from bench.audit import audit, registrations
from bench.cases import PREFIX
from bench.load import Line, Run, drive, write
from bench.rig import FASTEST, Rig
from bench.service import SERVICE, resident_mb, serving

CLIENTS = 128
LONGEST_LOAD = 10


def resident_after(rig: Rig, goals: Sequence[int], seconds: int) -> list[float]:
    """Register people until there are as many registrations as each goal says, and look at the memory.

    Raises:
        BrokenRunError: not all of them are served, or they cannot be.

    """
    rig.world.fill(rig.engine)
    resident = []
    acknowledged = loads = sent = 0
    with serving(SERVICE, rig.served_with._replace(workers=1)) as address:
        for goal in goals:
            while (found := registrations(rig.engine)) < goal:
                lasting = seconds if goal - found < FASTEST * LONGEST_LOAD else LONGEST_LOAD
                lines = islice(_lines(rig, sent), FASTEST * lasting)
                file = write(lines, rig.folder / "requests")
                load = drive(address, Run(file, CLIENTS, lasting, expected=201, cycles=False))
                loads += 1
                acknowledged += load.served
                # Those that were cut off may have been served or not, so they are not sent again.
                sent += load.taken
                rig.progress.print(f"{found + load.served:,} registrations, {load.per_second:,.0f}/s")
            resident.append(resident_mb(address))
        audit(rig.engine, least=acknowledged, most=acknowledged + loads * CLIENTS)
    return resident


def _lines(rig: Rig, start: int) -> Iterator[Line]:
    """Yield requests from the ``start``-th on: everybody for one event, then for the next."""
    for i in range(start, rig.world.people * rig.world.events):
        event, person = divmod(i, rig.world.people)
        yield Line("POST", f"{PREFIX}/registrations/events/{event + 1}", rig.tokens[person], "")
