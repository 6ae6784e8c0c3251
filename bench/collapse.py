"""Suite ``collapse``: whether routes that write hold their throughput when many more clients come.

The negative control is the baseline's registration, whose requests hold a connection while they wait for
a thread, and hold the threads while they wait for a connection. A control that does not collapse means
that the suite could not see a collapse, so it is a miss as well.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, inf
from statistics import median

from rich.table import Table

from bench.cases import REGISTER, SIGN_UP, WRITES, Case
from bench.load import BrokenRunError, Load, NothingServedError
from bench.report import Report
from bench.rig import Rig
from bench.service import BASELINE, SERVICE, serving

LEVELS = (16, 256, 512)
SECONDS = 4
QUICK_LEVELS = (16, 64)
BOUND = 0.9
ROUNDS = 5
ANSWERS_EACH = 3
TRIAL_SECONDS = 2
LONGEST_SECONDS = 30


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
        "rounds",
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
            _judge(rig, report, case, partial(_round, rig, address, case, seconds))
    table.add_section()
    _control(rig, report, levels, seconds)
    return report


def _round(rig: Rig, address: str, case: Case, seconds: int, levels: Sequence[int]) -> list[Load]:
    """Measure a case at each number of clients, all for as long: the tables grow with the requests served."""
    if not rig.quick:
        tried = rig.measure(address, case, clients=min(levels), seconds=TRIAL_SECONDS)
        seconds = max(seconds, min(ceil(ANSWERS_EACH * max(levels) / tried.per_second), LONGEST_SECONDS))
    loads = {}
    for level in levels:
        loads[level] = rig.measure(address, case, clients=level, seconds=seconds)
        rig.drain(loads[level], level)
    return [loads[level] for level in sorted(levels)]


def _judge(rig: Rig, report: Report, case: Case, measure: Callable[[Sequence[int]], list[Load]]) -> None:
    """Add the row of a case; one that misses the bound is measured again, and the medians count.

    Each round goes through the levels the other way round, so that a machine that gets slower or faster
    meanwhile speaks for none of them; and there are as many rounds whatever comes of them.
    """
    levels = QUICK_LEVELS if rig.quick else LEVELS
    rounds: list[list[Load]] = []
    try:
        rounds.append(measure(levels))
        if _worst(rounds) < BOUND and not rig.quick:
            rounds += [measure(levels[:: (-1) ** number]) for number in range(1, ROUNDS)]
    except BrokenRunError as error:
        report.table.add_row(case.label, "broken")
        report.broken.append(f"{case.label}: {error}")
        return
    holds = _worst(rounds) >= BOUND
    report.table.add_row(case.label, *_figures(rounds), str(len(rounds)), "holds" if holds else "misses")
    if not holds and not rig.quick:
        report.misses.append(f"{case.label}: {_worst(rounds):.2f} of {LEVELS[0]} clients, not {BOUND}")


def _control(rig: Rig, report: Report, levels: Sequence[int], seconds: int) -> None:
    """Add the row of the control. Each level has a process of its own: one that stands still never drains."""
    label = f"baseline {REGISTER.label}"
    loads = []
    try:
        for level in levels:
            with serving(BASELINE, rig.served_with) as address:
                try:
                    loads.append(rig.measure(address, REGISTER, clients=level, seconds=seconds))
                except NothingServedError:
                    loads.append(Load(per_second=0, p50_ms=inf, p99_ms=inf))
    except BrokenRunError as error:
        report.table.add_row(label, "broken")
        report.broken.append(f"{label}: {error}")
        return
    collapses = _worst([loads]) < BOUND
    report.table.add_row(label, *_figures([loads]), "1", "collapses" if collapses else "holds")
    if not collapses and not rig.quick:
        report.misses.append(f"{label}: holds, so this suite could not have seen a collapse")


def _ratios(rounds: Sequence[Sequence[Load]]) -> list[float]:
    first, *others = _medians(rounds)
    return [other / first for other in others]


def _medians(rounds: Sequence[Sequence[Load]]) -> list[float]:
    return [median(load.per_second for load in loads) for loads in zip(*rounds, strict=True)]


def _worst(rounds: Sequence[Sequence[Load]]) -> float:
    return min(_ratios(rounds))


def _figures(rounds: Sequence[Sequence[Load]]) -> list[str]:
    p99 = median(loads[-1].p99_ms for loads in rounds)
    return [
        *(f"{figure:,.0f}" for figure in _medians(rounds)),
        *(f"{ratio:.2f}" for ratio in _ratios(rounds)),
        f"{p99:,.0f}",
    ]
