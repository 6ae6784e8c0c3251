"""The list of events is served by its indexes: the plans of what docs/search.md says, on a large table."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.core.database import Store
from app.core.pagination import Slice
from app.core.security import Seals
from app.core.settings import PROJECT
from app.crud import listings
from app.crud.listings import ORDERS, page_public
from app.schemas.events import EventQuery
from app.tests.conftest import SECRET, migrated_database
from bench.plans import explained

DOCUMENT = (PROJECT / "docs" / "search.md").read_text(encoding="utf-8")
EVENTS = 60_000
SEALS = Seals(SECRET, "cursors")

# Ten events are about nothing but silence, half are festivals, and every hundredth is full.
FILL = (
    """
    INSERT INTO users (email, password_hash) SELECT 'person' || n || '@example.com', '-'
    FROM generate_series(1, 3000) AS n
    """,
    f"""
    INSERT INTO events
        (name, venue, description, start_at, end_at, capacity_total, created_by, status, created_at)
    SELECT
        CASE WHEN n % 6000 = 7 THEN 'Silencio' ELSE
            (ARRAY['Festival', 'Congreso', 'Festival', 'Taller', 'Festival', 'Summit'])[1 + n % 6] || ' '
            || (ARRAY['Robótica', 'Jazz', 'Café', 'Poesía', 'Databases', 'Theatre', 'Danza'])[1 + n / 7 % 7]
            || ' ' || (ARRAY['Bogotá', 'Lima', 'Quito', 'Cusco', 'Cali'])[1 + n / 11 % 5]
        END,
        (ARRAY['Teatro', 'Parque', 'Museo'])[1 + n % 3] || ' ' || n % 400,
        'Un encuentro sobre ' || (ARRAY['árboles', 'redes', 'trenes'])[1 + n % 3] || ' y otras cosas.',
        start_at, start_at + make_interval(hours => 2 + n % 50), 1 + n % 300, 1 + n * 7 % 3000,
        CASE n % 50 WHEN 0 THEN 'DRAFT' ELSE 'PUBLISHED' END, start_at - interval '90 days'
    FROM generate_series(1, {EVENTS}) AS n, LATERAL (
        SELECT timestamptz '2031-01-01 00:00Z' + make_interval(hours => n * 7919 % 17520)
    ) AS at (start_at)
    """,
)
FULL = "UPDATE events SET confirmed_count = capacity_total WHERE id % 100 = 1"


class Question(NamedTuple):
    """A line of the document: what is asked, and how many buffers the answer may take."""

    query: str
    most: int

    @property
    def wanted(self) -> EventQuery:
        return EventQuery.model_validate(dict(parse_qsl(self.query)))


QUESTIONS = [
    Question(query, int(most.replace(",", "")))
    for query, most in re.findall(r"^\| `\??([^`]*)` \|.*\| ([\d,]+) \|$", DOCUMENT, re.MULTILINE)
]


@pytest.fixture
def large(server_url: str, worker: str) -> Iterator[Store]:
    """Yield a database with many events."""
    with migrated_database(server_url, f"mis_eventos_plans_{worker}") as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            for statement in FILL:
                connection.execute(text(statement))
            # A counter is written by nobody but its trigger, unless triggers are switched off.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(FULL))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE, INDEX_CLEANUP ON)"))
        store = Store(url, pool_size=1, queue_size=0, observed=True)
        yield store
        store.close()


class Plan(NamedTuple):
    """How a statement was carried out."""

    statement: str
    read_whole: set[str]
    buffers: int


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def plan_of(statement: str, explanation: Any) -> Plan:
    (((top,),),) = explanation
    whole = {node["Relation Name"] for node in nodes(top["Plan"]) if node["Node Type"] == "Seq Scan"}
    return Plan(statement, whole, top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"])


def plans_of(store: Store, wanted: EventQuery, *, cursors: bool = True) -> tuple[Slice[Any], list[Plan]]:
    if cursors:
        located = wanted.located("/events", SEALS)
        assert located is not None
        wanted = located
    with explained(store.engine, "ANALYZE, BUFFERS, FORMAT JSON") as found, store.looks() as db:
        answer = page_public(db, wanted)
    return answer, [plan_of(*one) for one in found]


def faults(question: Question, plans: Sequence[Plan]) -> Iterator[str]:
    buffers = sum(plan.buffers for plan in plans)
    if buffers > question.most:
        yield f"{question.query}: {buffers} buffers, not {question.most}"
    for plan in plans:
        if plan.read_whole & {"events", "event_words"}:
            yield f"{question.query}: reads a table as a whole: {plan.statement}"


def test_what_is_documented_reads_no_table_as_a_whole_and_no_more_than_is_stated(
    large: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(QUESTIONS) > 40
    found: list[str] = []
    for question in QUESTIONS:
        answer, plans = plans_of(large, question.wanted)
        assert answer.items, question.query
        found += faults(question, plans)
    found += deep_pages_that_cost_more(large)
    found += pages_without_cursors_that_cost_more(large)
    with monkeypatch.context() as patch:
        found += broad_searches_that_are_counted_otherwise(large, patch)
    assert found == []
    assert faults_without_the_index_of_words(large) > 0


# Half, a quarter, just less than are counted, hardly any, none; and half of what remains.
BROAD = ["f", "t", "s", "si", "xy", "fe & t"]


def broad_searches_that_are_counted_otherwise(large: Store, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield what a letter or two find that is not what the index of words finds, with and without filters."""
    asked = [
        EventQuery(search=search, sort=sort, has_places=places)
        for search in BROAD
        for sort in (None, "name")
        for places in (None, True)
    ]
    newest = [plans_of(large, wanted) for wanted in asked]
    patch.setattr(listings, "FREQUENT", 2)
    for wanted, (answer, _) in zip(asked, newest, strict=True):
        by_words, _ = plans_of(large, wanted)
        if answer != by_words:
            yield f"{wanted}: {answer.total}, and {by_words.total} by the index of words"
    _, plans = newest[0]
    if any(plan.statement.startswith("WITH found") for plan in plans):
        yield f"{asked[0]}: is asked of the index of words all the same"


def faults_without_the_index_of_words(large: Store) -> int:
    """Count what is found where something is missing, or nothing would ever be found."""
    (question,) = (one for one in QUESTIONS if one.query == "search=silencio")
    with large.job() as db:
        db.execute(text("DROP INDEX ix_events_public_name_words"))
    _, plans = plans_of(large, question.wanted)
    return len(list(faults(question, plans)))


def deep_pages_that_cost_more(large: Store) -> Iterator[str]:
    """Yield the orders in which a page far away, by cursor, reads more than the first."""
    for sort in ORDERS:
        far, _ = plans_of(large, EventQuery(sort=sort, page=5_000))
        first, deep = (
            sum(plan.buffers for plan in plans_of(large, EventQuery(sort=sort, cursor=cursor))[1])
            for cursor in (None, far.next_cursor)
        )
        if deep > 1.3 * first + 2:
            yield f"{sort}: {deep} buffers, where the first page reads {first}"


def pages_without_cursors_that_cost_more(large: Store) -> Iterator[str]:
    """Yield a search of which a page takes more statements for a caller who has no use for a cursor."""
    wanted = EventQuery(search="festival")
    with_one, without = (len(plans_of(large, wanted, cursors=cursors)[1]) for cursors in (True, False))
    if without > with_one:
        yield f"{wanted}: {without} statements, where a page with a cursor takes {with_one}"
