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
"""More requests a second than any route that writes answers; as many are prepared."""

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
        if (address, case.label) not in self.warm and not self.quick:
            # What a process does once, such as compiling its queries, is no part of its rate.
            self._drive(address, case, clients=4, seconds=1)
            self.warm.add((address, case.label))
        load = self._drive(address, case, clients=clients, seconds=seconds)
        self.progress.print(f"{case.label}: {load.per_second:,.0f}/s with {clients} clients")
        return load

    def _drive(self, address: str, case: Case, *, clients: int, seconds: int) -> Load:
        count = self.world.events if case.cycles else min(FASTEST * seconds, self.world.requests)
        file = write(case.lines(self.world, self.tokens, count), self.folder / "requests")
        wait_until_quiet(self.engine)
        self.world.fill(self.engine, case.more, count=count)
        return drive(address, Run(file, clients, seconds, case.expected, case.cycles, case.turned_away))

    def drain(self, load: Load, clients: int) -> None:
        """Wait for the requests that the clients left behind, which are still being served."""
        time.sleep(min(clients / load.per_second, LONGEST_DRAIN))
