"""Suite ``collapse``: whether routes that write hold their throughput when many more clients come.

The negative control is the baseline's registration, whose requests hold a connection while they wait for
a thread, and hold the threads while they wait for a connection. A control that does not collapse means
that the suite could not see a collapse, so it is a miss as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from statistics import fmean, median

from rich.table import Table

from bench.cases import REGISTER, SIGN_UP, WRITES, Case
from bench.load import BrokenRunError, Load, NothingServedError
from bench.report import Report
from bench.rig import Rig
from bench.service import BASELINE, SERVICE, serving

LEVELS = (16, 256, 512)
SECONDS = 2
QUICK_LEVELS = (16, 64)
BOUND = 0.9
ROUNDS = 5
ANSWERS_EACH = 3
TRIAL_SECONDS = 2
LONGEST_SECONDS = 30


@dataclass
class _Levels:
    """What was measured at each number of clients, the fewest first."""

    loads: dict[int, list[Load]] = field(default_factory=dict)

    def add(self, level: int, load: Load) -> None:
        self.loads.setdefault(level, []).append(load)

    @property
    def rates(self) -> list[float]:
        return [fmean(load.per_second for load in self.loads[level]) for level in sorted(self.loads)]

    @property
    def ratios(self) -> list[float]:
        first, *others = self.rates
        return [other / first for other in others]

    @property
    def worst(self) -> float:
        return min(self.ratios)

    @property
    def cells(self) -> list[str]:
        p99 = median(load.p99_ms for load in self.loads[max(self.loads)])
        return [
            *(f"{rate:,.0f}" for rate in self.rates),
            *(f"{ratio:.2f}" for ratio in self.ratios),
            f"{p99:,.0f}",
        ]


def turns(*, quick: bool, downwards: bool = False) -> list[int]:
    """Return how many clients come in each turn of a round: ever more and then ever fewer, or the reverse."""
    levels = sorted(QUICK_LEVELS if quick else LEVELS, reverse=downwards)
    return levels + levels[::-1]


def run(rig: Rig, seconds: int | None = None, only: str | None = None) -> Report:
    """Measure every route that writes at each number of clients."""
    seconds = seconds or SECONDS
    levels = QUICK_LEVELS if rig.quick else LEVELS
    cases = [case for case in WRITES if only in {None, case.operation}]
    table = Table(
        "Route",
        *(f"{level}/s" for level in levels),
        *(f"{level}:{levels[0]}" for level in levels[1:]),
        f"p99 ms at {levels[-1]}",
        "turns",
        "",
        title=f"collapse: requests served a second, by number of clients, {seconds} s each or longer",
    )
    for column in table.columns[1:-1]:
        column.justify = "right"
    report = Report(table)
    with serving(SERVICE, rig.served_with) as address:
        for case in [REGISTER] if rig.quick else cases:
            if case is SIGN_UP:
                table.add_section()
            _judge(rig, report, address, case, seconds)
    table.add_section()
    _control(rig, report, levels, seconds)
    return report


def _judge(rig: Rig, report: Report, address: str, case: Case, seconds: int) -> None:
    """Add the row of a case; one that misses the bound is measured for longer, and all of it counts.

    The levels take turns, up and down again, on the same rows; in every other round, down and up. What
    steadily gets slower or faster meanwhile, the machine or the tables that grow, then speaks for none of
    them. After the first round there are as many whatever comes of them: to stop at the first that holds
    would find that every route does.
    """
    found = _Levels()
    try:
        if not rig.quick:
            tried = rig.measure(address, case, clients=min(LEVELS), seconds=TRIAL_SECONDS)
            seconds = max(seconds, min(ceil(ANSWERS_EACH * max(LEVELS) / tried.per_second), LONGEST_SECONDS))
        for number in range(1 if rig.quick else ROUNDS):
            levels = turns(quick=rig.quick, downwards=number % 2 == 1)
            loads = rig.measure_turns(address, case, turns=levels, seconds=seconds)
            for level, load in zip(levels, loads, strict=True):
                found.add(level, load)
            rig.drain(loads[-1], levels[-1])
            if number == 0 and found.worst >= BOUND:
                break
    except BrokenRunError as error:
        report.table.add_row(case.label, "broken")
        report.broken.append(f"{case.label}: {error}")
        return
    holds = found.worst >= BOUND
    each = len(found.loads[min(found.loads)])
    report.table.add_row(case.label, *found.cells, str(each), "holds" if holds else "misses")
    if not holds and not rig.quick:
        report.misses.append(f"{case.label}: {found.worst:.2f} of {LEVELS[0]} clients, not {BOUND}")


def _control(rig: Rig, report: Report, levels: Sequence[int], seconds: int) -> None:
    """Add the row of the control. Each level has a process of its own: one that stands still never drains."""
    label = f"baseline {REGISTER.label}"
    found = _Levels()
    try:
        for level in levels:
            with serving(BASELINE, rig.served_with) as address:
                try:
                    found.add(level, rig.measure(address, REGISTER, clients=level, seconds=seconds))
                except NothingServedError:
                    found.add(level, Load(per_second=0, p50_ms=inf, p99_ms=inf))
    except BrokenRunError as error:
        report.table.add_row(label, "broken")
        report.broken.append(f"{label}: {error}")
        return
    collapses = found.worst < BOUND
    report.table.add_row(label, *found.cells, "1", "collapses" if collapses else "holds")
    if not collapses and not rig.quick:
        report.misses.append(f"{label}: holds, so this suite could not have seen a collapse")
