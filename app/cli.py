"""The command line, ``events``: serve, migrate, fill with data, appoint an administrator."""

import json
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from threading import Thread
from typing import Annotated

import typer
import uvicorn
from alembic.util import CommandError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from app.core import listening
from app.core.database import Store
from app.core.logging import configure_logging
from app.core.migrations import current_revision, is_migrated, upgrade
from app.core.security import PasswordHasher
from app.core.settings import PROJECT, Environment, Settings, load_settings
from app.core.startup import database_url, metrics_shared, prepare
from app.models import User
from app.schemas.auth import AccountCreate
from app.services import admins, invariants, seeds

DEMO_PASSWORD = "demo-password"  # noqa: S105  # never used in production
MOST_ROWS = 1_000_000
MOST_REGISTRATIONS = 10_000_000
GRACE_SECONDS = 30
# A worker that imports the application on a busy machine is not a hung one.
WORKER_PATIENCE_SECONDS = 30

logger = logging.getLogger(__name__)
console = Console(highlight=False)

app = typer.Typer(
    name="events",
    help="Serve Mis Eventos and look after it. The settings come from the environment and '.env'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


class CannotGoOn(SystemExit):
    """Stop the command with one readable message and no traceback."""


@app.command(
    epilog="Examples:  [bold]events serve[/]  ·  [bold]events serve --port 8080 --reload[/]  ·  "
    "[bold]events serve --host 0.0.0.0 --workers 4[/]"
)
def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is reached from elsewhere.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the work.")] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Start again when the code changes.")] = False,
) -> None:
    """Serve the API until Ctrl+C or SIGTERM; requests in flight finish first.

    Without DATABASE_URL, in development, a PostgreSQL of its own runs meanwhile.
    """
    settings = _settings()
    _ensure_free(host, port)
    # After its requests the server repeats the signal that stopped it; the database here stops too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    together = metrics_shared() if workers > 1 and settings.metrics_enabled else nullcontext()
    with together, _database(settings) as store:
        # Once, here: workers and reloads then find it done, and a fault stops this process, not each of them.
        if settings.env is Environment.DEV:
            prepare(settings, store.engine)
        store.close()  # no connection idles here while the workers serve
        if settings.docs_enabled:
            Thread(target=_announce, args=(host, port), daemon=True).start()
        listening.serve(
            uvicorn.Config(
                "app.main:app",
                host=host,
                port=port,
                workers=workers,
                reload=reload,
                reload_dirs=[str(PROJECT / "app")] if reload else None,
                backlog=listening.BACKLOG,
                log_config=None,
                access_log=False,
                server_header=False,
                # The application believes TRUSTED_PROXIES; uvicorn would believe whoever is on this machine.
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                timeout_worker_healthcheck=WORKER_PATIENCE_SECONDS,
            )
        )


@app.command(epilog="Examples:  [bold]events migrate[/]  ·  [bold]events migrate --revision 607b4d66ddc9[/]")
def migrate(
    revision: Annotated[
        str, typer.Option(help="How far to go up; 'head' is what this release needs.")
    ] = "head",
) -> None:
    """Bring the database's schema up to what this release needs."""
    with _database(_settings()) as store:
        before = current_revision(store.engine)
        upgrade(store.engine, revision)
        after = current_revision(store.engine)
    if before == after:
        console.print(f"The database is at {after or 'nothing'} already.")
    else:
        console.print(f"The database went from {before or 'nothing'} to {after}.")


@app.command(epilog="Example:  [bold]events doctor[/]; it is 0 when all is well and 1 when a rule is broken.")
def doctor() -> None:
    """Look for broken rules in the database, at one moment and changing nothing; the service may go on."""
    with _database(_settings()) as store:
        if not is_migrated(store.engine):
            raise CannotGoOn("The database is not migrated. Run 'events migrate' first.")
        with store.snapshot() as db:
            breaches = invariants.check(db)
    if not breaches:
        console.print("The database is sound: no rule is broken.")
        return
    table = Table("Broken rule", "What it means", "Rows", "The first of them")
    for breach in breaches:
        table.add_row(breach.name, breach.meaning, str(breach.count), ", ".join(map(str, breach.samples)))
    console.print(table)
    raise typer.Exit(1)


@app.command(
    "create-admin",
    epilog="Examples:  [bold]events create-admin --email ana@example.com[/]  ·  "
    "[bold]events create-admin --email ana@example.com < password.txt[/]",
)
def create_admin(
    email: Annotated[str, typer.Option(help="Address of the account, made if there is none.")],
    password: Annotated[
        str | None, typer.Option(help="Its password. Better left out: it is asked for, or read from a pipe.")
    ] = None,
) -> None:
    """Make an administrator: of a new account, or of the one that has the address.

    An existing account keeps its password unless one is given. Its tokens end.
    """
    settings = _settings()
    if password is None and not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n") or None
    with _migrated_database(settings) as store:
        outcome = _appoint(store, settings.hasher, email, password)
        if outcome is admins.Appointment.NEEDS_PASSWORD and sys.stdin.isatty():
            password = typer.prompt("Password of the new account", hide_input=True, confirmation_prompt=True)
            outcome = _appoint(store, settings.hasher, email, password)
    if outcome is admins.Appointment.NEEDS_PASSWORD:
        raise CannotGoOn(f"{email} has no account yet: a new one needs a password, by --password or a pipe.")
    console.print(
        {
            admins.Appointment.MADE: f"{email} is a new account and an administrator.",
            admins.Appointment.PROMOTED: f"{email} is an administrator. Its older tokens have ended.",
            admins.Appointment.UNCHANGED: f"{email} is an administrator already.",
        }[outcome]
    )


@app.command(
    epilog="Examples:  [bold]events seed[/]  ·  [bold]events seed --events 100000 --people 100000[/]  ·  "
    "[bold]events seed --people 500 --events 50 --registrations 2000[/]"
)
def seed(
    *,
    events: Annotated[int, typer.Option(min=0, max=MOST_ROWS, help="Have so many made-up events.")] = 0,
    people: Annotated[int, typer.Option(min=0, max=MOST_ROWS, help="Have so many made-up accounts.")] = 0,
    registrations: Annotated[
        int,
        typer.Option(min=0, max=MOST_REGISTRATIONS, help="Have so many of them registered for the events."),
    ] = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="Another number, other names and times.")
    ] = 2026,
    yes: Annotated[bool, typer.Option("--yes", help="Really, in production.")] = False,
) -> None:
    """Fill the database with demo data; with numbers, with a crowd of that size instead.

    Run again it adds what is missing and doubles nothing.
    """
    settings = _settings()
    in_production = settings.env is Environment.PROD
    if in_production and not yes:
        raise CannotGoOn("This is production (ENV=prod). Add --yes if made-up data belong there.")
    password = secrets.token_urlsafe(12) if in_production else DEMO_PASSWORD
    password_hash = settings.hasher.hash(password)
    today = datetime.now(UTC).date()
    with _migrated_database(settings) as store:
        if events or people or registrations:
            crowd = seeds.Crowd(password_hash, today, seed)
            made = _gather(store, crowd.lots(people=people, events=events, registrations=registrations))
            _explain(made, f"The new accounts' password: {password}")
            return
        with store.job() as db:
            there = seeds.demo_is_there(db)
            accounts = (
                [] if there else seeds.make_demo(db, password_hash=password_hash, today=today, seed=seed)
            )
            counted = ", ".join(f"{count} {name}" for name, count in seeds.count_demo(db).items())
    if there:
        console.print(f"The demo data are there already ({counted}). Nothing was added.")
    else:
        console.print(f"Made the demo data: {counted}.")
        _introduce(accounts, password)


@app.command(epilog="Example:  [bold]events openapi > openapi.json[/]")
def openapi() -> None:
    """Print the OpenAPI document of the service."""
    from app.api import schema  # noqa: PLC0415  # the other commands start in half the time without it

    text = json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False)
    # As bytes: the document is UTF-8 wherever it is printed.
    typer.echo(text.encode())


def _settings() -> Settings:
    settings = load_settings()
    configure_logging(level=settings.log_level, style=settings.log_format)
    return settings


@contextmanager
def _database(settings: Settings) -> Iterator[Store]:
    """Lend the database to a command; what goes wrong with it is said in a sentence."""
    try:
        with database_url(settings) as url:
            store = Store(url, pool_size=1, queue_size=0)
            try:
                yield store
            finally:
                store.close()
    except DBAPIError as error:
        raise CannotGoOn(f"The database did not do it. It said: {str(error.orig).strip()}") from None
    except CommandError as error:
        raise CannotGoOn(f"The migrations did not run: {error}") from None


@contextmanager
def _migrated_database(settings: Settings) -> Iterator[Store]:
    with _database(settings) as store:
        if settings.env is Environment.DEV:
            prepare(settings, store.engine)
        elif not is_migrated(store.engine):
            raise CannotGoOn("The database is not migrated. Run 'events migrate' first.")
        yield store


def _ensure_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0].lower()
        raise CannotGoOn(
            f"Cannot listen on port {port} of {host}: {reason}. Try another --port or --host."
        ) from None


def _announce(host: str, port: int) -> None:
    """Say where to look, once somebody answers there."""
    reachable = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104  # compared, not bound
    while True:
        try:
            socket.create_connection((reachable, port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    shown = f"[{reachable}]" if ":" in reachable else reachable
    logger.info("Ready. Try it in Swagger UI: http://%s:%s/docs", shown, port)


def _appoint(store: Store, hasher: PasswordHasher, email: str, password: str | None) -> admins.Appointment:
    try:
        account = AccountCreate(email=email, password=password or "not needed")
    except ValidationError as error:
        faults = [
            f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()
        ]
        raise CannotGoOn("\n".join(faults)) from None
    password_hash = hasher.hash(account.password) if password else None
    with store.job() as db:
        return admins.appoint(db, account.email, password_hash)


def _gather(store: Store, lots: list[seeds.Lot]) -> int:
    """Make what is missing of each lot, and return how many rows that were."""
    total = 0
    columns = (
        TextColumn("{task.description:>13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>9,.0f} rows/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for lot in lots:
            with store.job() as db:
                there = lot.count(db)
            task = progress.add_task(lot.name, total=lot.wanted, completed=min(there, lot.wanted), rate=0)
            began, made = time.monotonic(), 0
            while there + made < lot.wanted:
                with store.job() as db:
                    added = lot.add(db, there + made, min(seeds.ROWS_AT_ONCE, lot.wanted - there - made))
                if not added:
                    logger.warning("there is room for %s %s only", there + made, lot.name)
                    break
                made += added
                progress.update(task, advance=added, rate=made / (time.monotonic() - began))
            total += made
    with store.job() as db:
        seeds.analyze(db)
    return total


def _explain(made: int, password: str) -> None:
    console.print(
        f"Added {made:,} rows. {password}" if made else "All of it was there already. Nothing was added."
    )


def _introduce(accounts: list[User], password: str) -> None:
    table = Table("Sign in as", "Name", "Role", title_justify="left", caption_justify="left")
    for account in accounts:
        table.add_row(account.email, account.full_name, account.role)
    console.print(table)
    console.print(f"All of them have the password [bold]{password}[/]")


if __name__ == "__main__":
    app()
