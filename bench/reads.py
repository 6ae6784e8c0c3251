"""Suite ``reads``: what lists, searches and events cost, with few events and with many."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import fmean, median
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import text

from app.core.pagination import COUNTED_AT_MOST
from app.schemas.events import EventQuery
from app.services.events import list_public
from app.services.seeds import ROWS_AT_ONCE, Crowd
from bench import quality
from bench.audit import store_of
from bench.cases import PREFIX
from bench.data import empty
from bench.load import BrokenRunError, Line, Load, Run, drive, write
from bench.postgres import tidy, wait_until_quiet
from bench.report import Report, Row
from bench.rig import Rig
from bench.service import GATED_BASELINE, SERVICE, serving
from bench.statements import sent_by

CLIENTS = 128
QUICK_CLIENTS = 16
WARMING = 4
SECONDS = 4
ROUNDS = 3
TURNS = 10
TURN_SECONDS = 1
FEW = 1_000
QUICK_MANY = 3_000
SEED = 2026
SESSIONS = 20
RARE, RARES = "Silencio", 10
# In the name of every event in Spanish, which is every second one.
HALF = "de"
SOON_MS = 100.0
FAR_PAGE = 10_000
MILLISECONDS = 1e3

ADD = """
INSERT INTO events (name, start_at, end_at, capacity_total, created_by)
SELECT name, now() + interval '1 day', now() + interval '2 days', 100, (SELECT min(id) FROM users)
FROM unnest(CAST(:names AS text[])) AS name
RETURNING id
"""
# Each session has an hour and two of five speakers to itself.
PROGRAMME = (
    "INSERT INTO rooms (event_id, name) VALUES (:event, 'Aula')",
    """
    INSERT INTO speakers (full_name, headline, bio, company, created_by)
    SELECT 'Speaker ' || n, 'Speaks about ' || n, repeat('Words. ', 30), 'Company ' || n,
        (SELECT min(id) FROM users)
    FROM generate_series(1, 5) AS n
    """,
    f"""
    INSERT INTO sessions (event_id, event_is_live, event_start_at, event_end_at, title, description,
        start_at, end_at, room_id, room_parallel, room_seats)
    SELECT events.id, is_live, events.start_at, events.end_at, 'Session ' || n, repeat('Words. ', 30),
        events.start_at + make_interval(hours => n), events.start_at + make_interval(hours => n + 1),
        rooms.id, rooms.allow_parallel, rooms.seats
    FROM events JOIN rooms ON rooms.event_id = events.id, generate_series(0, {SESSIONS - 1}) AS n
    WHERE events.id = :event
    """,
    """
    INSERT INTO session_speakers (session_id, speaker_id, during)
    SELECT sessions.id, first.id + (sessions.id + shift) % 5, during
    FROM sessions, (VALUES (0), (2)) AS second (shift), (SELECT min(id) AS id FROM speakers) AS first
    WHERE event_id = :event
    """,
)

Figures = Mapping[str, float]


@dataclass(frozen=True)
class _Pages:
    """The service and the baseline, with a number of events, one of which has a programme."""

    rig: Rig
    service: str
    baseline: str
    events: int
    programme: int
    seconds: int

    def get(self, **params: Any) -> Mapping[str, Any]:
        """Return a page of the list."""
        found: Mapping[str, Any] = json.loads(_read(self.service + _list(params))[0])
        return found

    def measure(self) -> Figures:
        """Measure each page, and in turns what is set beside each other."""
        one = f"{PREFIX}/events/{self.programme}"
        _, tag = _read(self.service + one)
        far = self.get(page=min(FAR_PAGE, self.events // 20) - 1)["next_cursor"]
        ours, theirs = (self._load(address, _list({})) for address in (self.service, self.baseline))
        # They differ by the sending of a body, which is less than a machine does from one moment to the next.
        event, known = self._in_turns(
            lambda seconds: self._load(self.service, one, seconds).per_second,
            lambda seconds: self._load(self.service, one, seconds, tag=tag).per_second,
        )
        classic = self._load(self.baseline, one)
        lone, far_page, empty, sql = self._in_turns(
            partial(self._lone, _list({})),
            partial(self._lone, _list({"cursor": far})),
            partial(self._lone, "/health/live"),
            self._sql,
        )
        return {
            "list/s": ours.per_second,
            "list p99": ours.p99_ms,
            "classic list/s": theirs.per_second,
            "classic list p99": theirs.p99_ms,
            "event/s": event,
            "classic event/s": classic.per_second,
            "known event/s": known,
            "lone": lone,
            "empty": empty,
            "sql": sql,
            "rare": self._lone(_list({"search": RARE})),
            "half": self._lone(_list({"search": HALF})),
            "far": far_page,
        }

    def _in_turns(self, *measures: Callable[[int], float]) -> Sequence[float]:
        """Return the means of what is set beside each other, measured in short turns, there and back."""
        if self.rig.quick:
            return [measure(self.seconds) for measure in measures]
        found: list[list[float]] = [[] for _ in measures]
        for turn in range(TURNS):
            for number in range(len(measures))[:: (-1) ** turn]:
                found[number].append(measures[number](TURN_SECONDS))
        return [fmean(figures) for figures in found]

    def _load(self, address: str, path: str, seconds: int | None = None, *, tag: str = "") -> Load:
        """Ask for one page at many connections."""
        clients = QUICK_CLIENTS if self.rig.quick else CLIENTS
        load = self._drive(address, path, clients, seconds, tag)
        self.rig.drain(load, clients)
        wait_until_quiet(self.rig.engine)
        return load

    def _lone(self, path: str, seconds: int | None = None) -> float:
        """Return the median in milliseconds of what somebody alone waits for a page."""
        return self._drive(self.service, path, 1, seconds).p50_ms

    def _drive(self, address: str, path: str, clients: int, seconds: int | None, tag: str = "") -> Load:
        file = write([Line("GET", path, known=tag)], self.rig.folder / "requests")
        expected = 304 if tag else 200
        # What a process does once, such as compiling its queries, is no part of its rate.
        if (address, path) not in self.rig.warm and not self.rig.quick:
            drive(address, Run(file, min(clients, WARMING), 1, expected, cycles=True))
            self.rig.warm.add((address, path))
        load = drive(address, Run(file, clients, seconds or self.seconds, expected, cycles=True))
        what = "classic " * (address == self.baseline) + path[:50]
        self.rig.progress.print(f"{what}: {load.per_second:,.0f}/s, {load.p50_ms:.2f} ms, {clients} clients")
        return load

    def _sql(self, seconds: int) -> float:
        """Return the median in milliseconds of the statements of a first page, by the driver alone."""
        with closing(store_of(self.rig.engine)) as store:
            sent = sent_by(store, lambda db: list_public(db, EventQuery()))
            spent, until = [], time.monotonic() + seconds
            with store.engine.connect() as pooled, closing(pooled.connection.cursor()) as cursor:
                while time.monotonic() < until:
                    started = time.perf_counter()
                    for statement, parameters in sent:
                        cursor.execute(statement, parameters)
                        cursor.fetchall()
                    pooled.connection.commit()
                    spent.append(time.perf_counter() - started)
        return median(spent) * MILLISECONDS


def run(rig: Rig, seconds: int | None = None) -> Report:
    """Measure few events, then many, and try the searches that people write."""
    seconds = seconds or SECONDS
    many = many_events(rig)
    report = Report.of_pairs(f"reads: {CLIENTS} clients or one alone, 1 worker, {seconds} s each")
    try:
        missed, queries = _missed(rig)
        few, rows = _figures(rig, FEW, seconds, _rows)
        _add(rig, report, f"{FEW:,} events", rows)
        _, rows = _figures(rig, many, seconds, partial(_rows_beside, few, many))
        _add(rig, report, f"{many:,} events", rows)
    except BrokenRunError as error:
        return report.end_broken("reads", error)
    right, least = len(queries) - len(missed), len(queries) - quality.MOST_MISSED
    label = f"searches that find what is meant, among {quality.AMONG}"
    _add(rig, report, f"{len(queries)} searches", [Row(label, str(right), str(least), right / least, 1)])
    if right < least:
        report.misses += [f"'{query.search}' does not find '{query.meant}'" for query in missed]
    return report


def _add(rig: Rig, report: Report, title: str, rows: Sequence[Row]) -> None:
    report.table.add_section()
    report.table.add_row(title)
    report.add(rows, judged=not rig.quick, of=f"{title}, ")


def _rows(found: Figures) -> Sequence[Row]:
    """Set beside each other what was measured with some number of events."""

    def faster(label: str, ours: str, other: str, least: float) -> Row:
        rate, beside = found[ours], found[other]
        return Row(label, f"{rate:,.0f}/s", f"{beside:,.0f}/s", rate / beside, least)

    return [
        faster("list of ten : classic", "list/s", "classic list/s", 5),
        _sooner("99th percentile of the list : classic", found["list p99"], found["classic list p99"], 0.3),
        faster(f"event with {SESSIONS} sessions : classic", "event/s", "classic event/s", 4),
        faster("the same for who has it : for who has not", "known event/s", "event/s", 1),
        _sooner("a lone list : SQL alone + empty route", found["lone"], found["sql"] + found["empty"], 1.5),
    ]


def _rows_beside(few: Figures, many: int, found: Figures) -> Sequence[Row]:
    """Set what was measured with many events also beside few of them."""
    return [
        *_rows(found),
        _sooner(f"first page : at {FEW:,}", found["lone"], few["lone"], 1.5),
        _sooner(f"a search that matches {RARES} : at {FEW:,}", found["rare"], few["rare"], 1.5),
        _sooner(f"a search that matches half of {many:,} : {SOON_MS:.0f} ms", found["half"], SOON_MS, 1),
        _sooner("page 10,000 by cursor : first page", found["far"], found["lone"], 1.3),
    ]


def _sooner(label: str, took: float, other: float, most: float) -> Row:
    return Row(label, f"{took:.2f} ms", f"{other:.2f} ms", took / other, most=most)


def _missed(rig: Rig) -> tuple[list[quality.Query], list[quality.Query]]:
    """Search for what people write, and return what was not found, and all of it."""
    names, queries = quality.read()
    fill(rig, 0, names)
    with serving(SERVICE, rig.served_with._replace(workers=1)) as address:

        def find(search: str) -> Sequence[str]:
            page = json.loads(_read(address + _list({"search": search}))[0])
            return [item["name"] for item in page["items"]]

        return quality.missed(queries, find), queries


def _figures(
    rig: Rig, events: int, seconds: int, rows: Callable[[Figures], Sequence[Row]]
) -> tuple[Figures, Sequence[Row]]:
    """Measure with so many events, again if a bound is missed, and take the means.

    Raises:
        BrokenRunError: the searches do not find what they are meant to find.

    """
    programme = fill(rig, events, [RARE] * RARES)
    rounds: list[Figures] = []
    with ExitStack() as stack:
        told = rig.served_with._replace(workers=1)
        service, baseline = (stack.enter_context(serving(name, told)) for name in (SERVICE, GATED_BASELINE))
        pages = _Pages(rig, service, baseline, events, programme, seconds)
        rare, half = (pages.get(search=word)["total"] for word in (RARE, HALF))
        if rare != RARES or half < min(events // 3, COUNTED_AT_MOST):
            message = f"{rare} and {half} of {events} events were found by '{RARE}' and '{HALF}'"
            raise BrokenRunError(message)
        while True:
            rounds.append(pages.measure())
            found = {name: fmean(one[name] for one in rounds) for name in rounds[0]}
            if rig.quick or len(rounds) == ROUNDS or all(row.holds for row in rows(found)):
                return found, rows(found)


def many_events(rig: Rig) -> int:
    """Return how many are many."""
    return QUICK_MANY if rig.quick else rig.events


def fill(rig: Rig, events: int, names: Sequence[str]) -> int:
    """Make so many events up, and those of ``names``, and return the first of these, with a programme."""
    crowd = Crowd(rig.world.password_hash, datetime.now(UTC).date(), SEED)
    empty(rig.engine)
    with closing(store_of(rig.engine)) as store:
        for lot in crowd.lots(people=1, events=events, registrations=0):
            for there in range(0, lot.wanted, ROWS_AT_ONCE):
                with store.job() as db:
                    lot.add(db, there, min(ROWS_AT_ONCE, lot.wanted - there))
        with store.job() as db:
            first = db.scalars(text(ADD), {"names": list(names)}).all()[0]
            for statement in PROGRAMME:
                db.execute(text(statement), {"event": first})
    rig.progress.print(f"{events:,} events are there")
    tidy(rig.engine)
    return int(first)


def _list(params: Mapping[str, Any]) -> str:
    return f"{PREFIX}/events" + f"?{urlencode(params)}" * bool(params)


def _read(url: str) -> tuple[bytes, str]:
    """Return the body of an answer and its tag."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read(), answer.headers["ETag"]
