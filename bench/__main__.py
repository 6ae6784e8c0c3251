"""Run the benchmarks: ``python -m bench``, or ``make bench``."""

import secrets
import signal
import tempfile
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from app.core.security import Tokens
from bench import collapse, limits, machine, overload, plans, postgres, reads, routes, rush, schedule
from bench.data import World
from bench.load import BrokenRunError
from bench.report import Report
from bench.rig import FASTEST, Rig

WIDTH = 110


class Suite(StrEnum):
    """What can be measured."""

    ROUTES = "routes"
    COLLAPSE = "collapse"
    RUSH = "rush"
    READS = "reads"
    PLANS = "plans"
    SCHEDULE = "schedule"
    OVERLOAD = "overload"
    LIMITS = "limits"


def main(  # noqa: PLR0913 - each is an option
    suites: Annotated[list[Suite] | None, typer.Argument(help="Which suites; all without one.")] = None,
    *,
    quick: Annotated[bool, typer.Option(help="See in seconds that everything works; judge nothing.")] = False,
    seconds: Annotated[int | None, typer.Option(min=1, max=60, help="How long each run is.")] = None,
    only: Annotated[str | None, typer.Option(help="Of the suite collapse only this operation.")] = None,
    registrations: Annotated[
        int, typer.Option(min=1_000, max=1_000_000, help="Of the suite rush: when its memory is looked at.")
    ] = 200_000,
    events: Annotated[
        int, typer.Option(min=20_000, max=1_000_000, help="Of the suites reads and plans: how many are many.")
    ] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes of the service.")] = 1,
    database_url: Annotated[
        str | None,
        typer.Option(help="A server to make a database on, instead of an embedded one."),
    ] = None,
) -> None:
    """Measure the service under load, on this machine, and say whether its bounds hold.

    The exit status is 1 when a bound is missed and 2 when a run was broken.
    """
    # Whoever ends this ends the service and the database that it started, too.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _leave)
    console = Console(width=WIDTH, highlight=False)
    if quick:
        seconds, registrations = 1, 1_000
    chosen = suites or list(Suite)
    longest = seconds or max(routes.SECONDS, rush.SECONDS, limits.SECONDS)
    if Suite.COLLAPSE in chosen:
        turns = collapse.turns(quick=quick)
        longest = max(longest, len(turns) * (seconds or collapse.SECONDS))
    world = World(people=FASTEST * longest + 2)
    secret = secrets.token_urlsafe(48)
    tokens = list(world.tokens(Tokens(secret, timedelta(days=1))))
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.database(database_url) as engine,
    ):
        for name, fact in {**machine.facts(), **postgres.facts(engine)}.items():
            console.print(f"{name}: {fact}", soft_wrap=True)
        console.print(f"Data: {world.events:,} events, {world.people:,} people, made anew for every run\n")
        progress = Console(stderr=True, highlight=False)
        rig = Rig(
            progress, engine, world, tokens, secret, Path(folder), workers, quick, registrations, events
        )
        reports = []
        try:
            for suite in chosen:
                reports.append(_run(rig, suite, seconds, only))
                console.print(reports[-1].table)
        except BrokenRunError as error:
            console.print(f"Broken run: {error}", markup=False)
            raise typer.Exit(2) from None
    misses = [miss for report in reports for miss in report.misses]
    broken = [reason for report in reports for reason in report.broken]
    for line in (*(f"Bound missed: {miss}" for miss in misses), *(f"Broken run: {why}" for why in broken)):
        console.print(line, markup=False)
    if misses or broken:
        raise typer.Exit(2 if broken else 1)


def _leave(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _run(  # noqa: PLR0911 - one for each suite
    rig: Rig, suite: Suite, seconds: int | None, only: str | None
) -> Report:
    match suite:
        case Suite.ROUTES:
            return routes.run(rig, seconds)
        case Suite.COLLAPSE:
            return collapse.run(rig, seconds, only)
        case Suite.RUSH:
            return rush.run(rig, seconds)
        case Suite.READS:
            return reads.run(rig, seconds)
        case Suite.PLANS:
            return plans.run(rig)
        case Suite.SCHEDULE:
            return schedule.run(rig)
        case Suite.OVERLOAD:
            return overload.run(rig, seconds)
        case Suite.LIMITS:
            return limits.run(rig, seconds)


if __name__ == "__main__":
    typer.run(main)
