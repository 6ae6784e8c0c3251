"""Suite ``routes``: how fast the routes that matter most are, each beside its baseline in the same run."""

from rich.table import Table

from bench.cases import DETAIL, LIST, ME, REGISTER, REGISTER_HOT
from bench.load import BrokenRunError, Load
from bench.report import Report
from bench.rig import Rig
from bench.service import BASELINE, SERVICE, serving

CLIENTS = 16
SECONDS = 8


def run(rig: Rig, seconds: int | None = None) -> Report:
    """Measure each route of the service, then of the baseline."""
    seconds = seconds or SECONDS
    cases = (LIST, REGISTER) if rig.quick else (LIST, DETAIL, ME, REGISTER, REGISTER_HOT)
    table = Table(
        "Route",
        *("requests/s", "p50 ms", "p99 ms", "baseline/s", "p50 ms", "p99 ms", "ratio"),
        title=f"routes: {CLIENTS} clients, {seconds} s each, {rig.workers} worker(s)",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    report = Report(table)
    with serving(SERVICE, rig.served_with) as service, serving(BASELINE, rig.served_with) as baseline:
        for case in cases:
            try:
                ours, theirs = (
                    rig.measure(address, case, clients=CLIENTS, seconds=seconds)
                    for address in (service, baseline)
                )
            except BrokenRunError as error:
                table.add_row(case.label, "broken")
                report.broken.append(f"{case.label}: {error}")
                continue
            ratio = ours.per_second / theirs.per_second
            table.add_row(case.label, *_figures(ours), *_figures(theirs), f"{ratio:.2f}")
    return report


def _figures(load: Load) -> tuple[str, str, str]:
    return f"{load.per_second:,.0f}", f"{load.p50_ms:.1f}", f"{load.p99_ms:.1f}"
