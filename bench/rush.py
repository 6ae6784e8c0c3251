"""Suite ``rush``: the moment an event opens, beside the classic way and beside a database without cost."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from bench.audit import audit
from bench.cases import REGISTER_FULL, REGISTER_HOT, REGISTER_MANY, Case
from bench.growth import resident_after
from bench.load import BrokenRunError, Load
from bench.report import Report, Row
from bench.rig import Rig
from bench.service import CEILING, GATED_BASELINE, SERVICE, serving
from bench.statements import statements_per_batch

CLIENTS = 128
FEWER = 16
QUICK_CLIENTS = 32
SECONDS = 5
ROUNDS = 3
PLACES_A_SECOND = 200
BATCHES = (1, 10, 200)
FLAT = 1.1


class Measure(NamedTuple):
    """A load and who serves it."""

    application: str
    case: Case
    clients: int = CLIENTS
    workers: int = 1


HOT = Measure(SERVICE, REGISTER_HOT)
MANY = Measure(SERVICE, REGISTER_MANY)
FULL = Measure(SERVICE, REGISTER_FULL)
LONE = Measure(SERVICE, REGISTER_HOT, clients=1)
TOP = Measure(CEILING, REGISTER_HOT)
BASELINE = Measure(GATED_BASELINE, REGISTER_HOT)
BASELINE_FEWER = Measure(GATED_BASELINE, REGISTER_HOT, clients=FEWER)
BASELINE_LONE = Measure(GATED_BASELINE, REGISTER_HOT, clients=1)
TWO = Measure(SERVICE, REGISTER_HOT, workers=2)
# Those that are compared come one after the other.
MEASURES = (MANY, FULL, HOT, TOP, BASELINE, BASELINE_FEWER, LONE, BASELINE_LONE, TWO)


def run(rig: Rig, seconds: int | None = None) -> Report:
    """Measure all of it, again if a bound is missed, and take the medians."""
    seconds = seconds or SECONDS
    report = Report.of_pairs(f"rush: {CLIENTS} clients, {seconds} s each, 1 worker, durable commits")
    rounds: list[dict[Measure, Load]] = []
    try:
        while not rounds or (not _all_hold(rounds) and len(rounds) < ROUNDS and not rig.quick):
            rounds.append(_round(rig, seconds))
        rows = [*_rows(rounds), _statements(rig), _memory(rig, seconds)]
        places = _sell_out(rig, seconds)
    except BrokenRunError as error:
        return report.end_broken("rush", error)
    report.add(rows, judged=not rig.quick)
    report.table.add_row(f"sold out with {CLIENTS} clients", f"{places:,} confirmed", f"{places:,} places")
    report.table.caption = (
        f"{len(rounds)} round(s); after every run all invariants held and every 201 had its row"
    )
    return report


def _round(rig: Rig, seconds: int) -> dict[Measure, Load]:
    loads = {}
    with ExitStack() as stack:
        addresses = {}
        for measure in MEASURES:
            clients = min(measure.clients, QUICK_CLIENTS) if rig.quick else measure.clients
            server = measure.application, measure.workers
            if server not in addresses:
                told = rig.served_with._replace(workers=measure.workers)
                addresses[server] = stack.enter_context(serving(measure.application, told))
            loads[measure] = rig.measure(addresses[server], measure.case, clients=clients, seconds=seconds)
            rig.drain(loads[measure], clients)
            _audit(rig, measure, loads[measure])
    return loads


def _audit(rig: Rig, measure: Measure, load: Load) -> None:
    if measure is TOP:
        audit(rig.engine, least=0, most=0)
    elif measure is FULL:
        audit(rig.engine, least=2, most=2)
    else:
        audit(rig.engine, least=load.served, most=load.served + measure.clients)


def _sell_out(rig: Rig, seconds: int) -> int:
    """Offer fewer places than are asked for, and return how many were given: all of them, and no more.

    Raises:
        BrokenRunError: a place was given twice or not at all.

    """
    places = PLACES_A_SECOND * seconds
    more = f"UPDATE events SET capacity_total = {places} WHERE id = 1"
    case = replace(REGISTER_HOT, more=more, turned_away=409, note="until full")
    with serving(SERVICE, rig.served_with._replace(workers=1)) as address:
        load = rig.measure(address, case, clients=CLIENTS, seconds=seconds)
    if load.served != places:
        message = f"{load.served} places were given of {places}"
        raise BrokenRunError(message)
    audit(rig.engine, least=places, most=places)
    return places


def _all_hold(rounds: Sequence[Mapping[Measure, Load]]) -> bool:
    return all(row.holds for row in _rows(rounds))


def _rows(rounds: Sequence[Mapping[Measure, Load]]) -> Iterator[Row]:
    rate = {measure: median(loads[measure].per_second for loads in rounds) for measure in MEASURES}
    p50 = {measure: median(loads[measure].p50_ms for loads in rounds) for measure in MEASURES}
    p99 = {measure: median(loads[measure].p99_ms for loads in rounds) for measure in MEASURES}

    def faster(label: str, ours: Measure, other: Measure, least: float = 0.0) -> Row:
        return Row(label, _rate(rate[ours]), _rate(rate[other]), rate[ours] / rate[other], least)

    def sooner(label: str, took: Mapping[Measure, float], ours: Measure, other: Measure, most: float) -> Row:
        return Row(label, _ms(took[ours]), _ms(took[other]), took[ours] / took[other], most=most)

    best = max(BASELINE, BASELINE_FEWER, key=lambda measure: rate[measure])
    yield faster(f"one event : baseline, its best at {best.clients}", HOT, best, 8)
    yield faster("one event : ceiling", HOT, TOP, 0.65)
    yield faster(f"one event : {MANY.case.note}", HOT, MANY, 0.9)
    yield sooner("99th percentile : baseline", p99, HOT, BASELINE, 0.5)
    yield sooner("a lone request, median : baseline", p50, LONE, BASELINE_LONE, 1.1)
    yield faster("refusals once full : admissions", FULL, HOT, 1)
    yield faster("two workers : one", TWO, HOT)


def _statements(rig: Rig) -> Row:
    counts = statements_per_batch(rig, BATCHES)
    label = f"statements in a batch of {', '.join(map(str, BATCHES))}"
    ratio = max(counts) / min(counts)
    return Row(label, ", ".join(map(str, counts)), "", ratio, most=1)


def _memory(rig: Rig, seconds: int) -> Row:
    quarter, whole = rig.registrations // 4, rig.registrations
    before, after = resident_after(rig, (quarter, whole), seconds)
    label = f"memory after {whole:,} : {quarter:,} registrations"
    return Row(label, f"{after:,.0f} MB", f"{before:,.0f} MB", after / before, most=FLAT)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s"


def _ms(took: float) -> str:
    return f"{took:.1f} ms"
