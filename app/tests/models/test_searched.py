"""What the database keeps so that events are found: words, counts and flags, whoever writes."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Connection, text

from app.core.database import Database, Store
from app.tests.factories import Factory

Run = Callable[..., Any]

ADD = """
    INSERT INTO events (name, venue, start_at, end_at, capacity_total, created_by, status)
    SELECT :name, :venue, now(), now() + interval '1 day', 10, :owner, :status FROM generate_series(1, :count)
"""


@pytest.fixture
def run(connection: Connection) -> Run:
    """Execute raw SQL."""
    return lambda sql, **values: connection.execute(text(sql), values)


@pytest.fixture
def add(run: Run, make: Factory) -> Run:
    """Insert events by raw SQL, in one statement."""
    owner = make.user().id

    def insert(count: int = 1, **values: Any) -> None:
        usual = {"name": "Event", "venue": None, "status": "PUBLISHED", "owner": owner}
        run(ADD, **usual | values, count=count)

    return insert


# Words


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("BogotÁ", "bogota"),
        ("ñandú", "nandu"),
        ("Bogota\u0301", "bogota"),
        ("Straße", "strasse"),
        ("¿Qué? ¡Sí!", "?que? !si!"),
        ("Привет 会議", "привет 会議"),
        ("", ""),
    ],
)
def test_text_is_folded_to_small_letters_without_accents(run: Run, written: str, folded: str) -> None:
    assert run("SELECT fold(:text)", text=written).scalar() == folded


def test_folding_means_the_same_whatever_the_search_path(run: Run) -> None:
    run("SET LOCAL search_path = pg_catalog")
    assert run("SELECT public.fold('Ñ'), public.words_of('Ñ')").one() == ("n", "'n'")
    run("SET LOCAL search_path = public")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Congreso de Robótica, Bogotá 2026", {"congreso", "de", "robotica", "bogota", "2026"}),
        ("100% real", {"100", "%", "real"}),
        ("C++ / C#", {"c", "+", "/", "#"}),
        ("e-mail: it's (free)", {"e", "mail", "it", "s", "free"}),
        ("snake_case\\", {"snake", "_", "case", "\\"}),
        ("🎉🎉 Fiesta", {"🎉", "fiesta"}),
        ("...", set()),
    ],
)
def test_words_are_runs_of_letters_and_digits_and_single_signs(
    run: Run, written: str, words: set[str]
) -> None:
    found = run("SELECT tsvector_to_array(words_of(:text))", text=written).scalar()
    assert set(found) == words


def test_every_word_of_a_name_or_a_venue_is_known_once(run: Run, add: Run) -> None:
    add(name="Ñandú Azul", venue="Zócalo", count=3)
    add(name="Ñandú Rojo")
    run("UPDATE events SET name = 'Kermés', venue = 'Ágora' WHERE name = 'Ñandú Rojo'")
    known = run("SELECT word FROM event_words").scalars().all()
    assert {"nandu", "azul", "zocalo", "rojo", "kermes", "agora"} - set(known) == set()
    assert len(known) == len(set(known))


# Counts


@pytest.fixture
def counted(run: Run) -> Callable[[], tuple[int, int]]:
    """Read how many public events are counted, and how many there are."""
    both = """
        SELECT (SELECT COALESCE(sum(published), 0)::int FROM event_counts),
            (SELECT count(*) FROM events WHERE status = 'PUBLISHED' AND deleted_at IS NULL)
    """

    def read() -> tuple[int, int]:
        kept, there = run(both).one()
        return kept, there

    return read


def test_public_events_are_counted_whatever_becomes_of_them(
    run: Run, add: Run, counted: Callable[[], tuple[int, int]]
) -> None:
    counts = [counted()]
    for statement in (
        "UPDATE events SET status = 'DRAFT' WHERE id IN (SELECT min(id) FROM events)",
        "UPDATE events SET status = 'PUBLISHED'",
        "UPDATE events SET deleted_at = now() WHERE id IN (SELECT min(id) FROM events)",
        "UPDATE events SET status = 'CANCELLED' WHERE deleted_at IS NOT NULL",
        "UPDATE events SET name = 'Other'",
        "DELETE FROM events WHERE id IN (SELECT max(id) FROM events)",
        "TRUNCATE events CASCADE",
    ):
        add(2)
        add(1, status="DRAFT")
        run(statement)
        counts.append(counted())
    assert [kept for kept, _ in counts] == [there for _, there in counts]
    assert [kept for kept, _ in counts] == [0, 1, 6, 7, 9, 11, 13, 0]


def test_those_who_make_events_at_once_do_not_wait_for_each_other(live: Store) -> None:
    with live.job() as db:
        make = Factory(db)
        owner = make.user().id
        make.event(name="Event")
    values = {"name": "Nuevo", "venue": None, "status": "PUBLISHED", "owner": owner, "count": 1}
    with ExitStack() as stack:
        makers: dict[int, Database] = {}
        while len(makers) < 2:
            db = stack.enter_context(live.job())
            db.execute(text("SET LOCAL lock_timeout = '500ms'"))
            makers.setdefault(db.scalar(text("SELECT pg_backend_pid() % 32")) or 0, db)
        for shard, db in makers.items():
            db.execute(text(ADD), {**values, "name": f"Event {shard}"})
    with live.job() as db:
        assert db.scalar(text("SELECT sum(published) FROM event_counts")) == 3


# Places


def test_an_event_has_places_until_the_last_is_taken(run: Run, make: Factory) -> None:
    event = make.event(capacity_total=2)
    seen = []
    for _ in range(2):
        make.registration(event)
        seen.append(run("SELECT has_places FROM events WHERE id = :id", id=event.id).scalar())
    run("UPDATE registrations SET status = 'CANCELLED' WHERE event_id = :id", id=event.id)
    seen.append(run("SELECT has_places FROM events WHERE id = :id", id=event.id).scalar())
    assert seen == [True, False, True]


def test_a_sale_touches_no_index(run: Run, make: Factory) -> None:
    event = make.event(name="Concierto", venue="Ágora", description="Música.", capacity_total=4)
    users = [make.user().id for _ in range(4)]
    updates = """
        SELECT pg_stat_get_xact_tuples_updated('events'::regclass),
            pg_stat_get_xact_tuples_hot_updated('events'::regclass)
    """

    def sell(user: int) -> tuple[int, int]:
        before = run(updates).one()
        run(
            "INSERT INTO registrations (event_id, user_id, status, ticket_code)"
            " VALUES (:event, :user, 'CONFIRMED', 'ticket-' || :user)",
            event=event.id,
            user=user,
        )
        after = run(updates).one()
        return after[0] - before[0], after[1] - before[1]

    # The last place changes what the event is found by.
    assert [sell(user) for user in users] == [(1, 1), (1, 1), (1, 1), (1, 0)]
