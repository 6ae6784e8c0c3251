"""One measurement: the data made anew, the requests written down, the load, and a wait until all is quiet."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from bench.cases import Case
from bench.data import World
from bench.load import Load, Run, drive, write
from bench.postgres import wait_until_quiet
from bench.service import ServedWith

FASTEST = 4_000
"""More requests a second than any route that writes answers.

As many are prepared, for all turns together and as far as there are people.
"""

LONGEST_DRAIN = 60.0


@dataclass(frozen=True)
class Rig:
    """What every suite measures with."""

    progress: Console
    engine: Engine
    world: World
    tokens: Sequence[str]
    secret: str
    folder: Path
    workers: int = 1
    quick: bool = False
    registrations: int = 200_000
    events: int = 1_000_000
    warm: set[tuple[str, str]] = field(default_factory=set)

    @property
    def served_with(self) -> ServedWith:
        """Return what the applications need to be told."""
        url = self.engine.url.render_as_string(hide_password=False)
        return ServedWith(url, self.secret, self.workers)

    def measure(self, address: str, case: Case, *, clients: int, seconds: int) -> Load:
        """Measure one case, beginning from the same rows each time.

        Raises:
            BrokenRunError: there is no figure.

        """
        return self.measure_turns(address, case, turns=(clients,), seconds=seconds)[0]

    def measure_turns(self, address: str, case: Case, *, turns: Sequence[int], seconds: int) -> list[Load]:
        """Measure one case with one number of clients after the other, on rows that are made once.

        Each turn goes on where the last one stopped in the file of requests, and begins when those that it
        left behind have been served.

        Raises:
            BrokenRunError: there is no figure.

        """
        if (address, case.label) not in self.warm and not self.quick:
            # What a process does once, such as compiling its queries, is no part of its rate.
            self._drive(address, case, turns=(4,), seconds=1)
            self.warm.add((address, case.label))
        loads = self._drive(address, case, turns=turns, seconds=seconds)
        rates = ", ".join(
            f"{load.per_second:,.0f}/s with {clients}" for load, clients in zip(loads, turns, strict=True)
        )
        self.progress.print(f"{case.label}: {rates} clients")
        return loads

    def _drive(self, address: str, case: Case, *, turns: Sequence[int], seconds: int) -> list[Load]:
        count = self.world.events
        if not case.cycles:
            count = min(FASTEST * seconds * len(turns), self.world.requests)
        file = write(case.lines(self.world, self.tokens, count), self.folder / "requests")
        wait_until_quiet(self.engine)
        self.world.fill(self.engine, case.more, count=count)
        loads: list[Load] = []
        for number, clients in enumerate(turns):
            if number > 0:
                self.drain(loads[-1], turns[number - 1])
                wait_until_quiet(self.engine)
            skipped = 0 if case.cycles else sum(load.taken for load in loads)
            run = Run(file, clients, seconds, case.expected, case.cycles, case.turned_away, skipped)
            loads.append(drive(address, run))
        return loads

    def drain(self, load: Load, clients: int) -> None:
        """Wait for the requests that the clients left behind, which are still being served."""
        time.sleep(min(clients / load.per_second, LONGEST_DRAIN))
