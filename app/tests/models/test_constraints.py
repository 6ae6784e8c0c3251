"""Every constraint explains itself, and the database has those of the models and no other."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from app.models import Base
from app.models.constraints import CONSTRAINT_PROBLEMS, OUR_FAULTS
from app.tests.conftest import fresh_database

# NOT NULL has been a constraint with a name since PostgreSQL 18; nothing answers by it.
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conname NOT LIKE 'alembic%'
"""
INDEXES = """
    SELECT indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'
"""
UNIQUE_INDEXES = f"{INDEXES} AND indisunique"
EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'"
# What columns are computed with; the models name them and the migrations define them.
IMMUTABLE_FUNCTIONS = """
    SELECT pg_get_functiondef(pg_proc.oid) FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
    WHERE pronamespace = 'public'::regnamespace AND lanname = 'sql' AND prosqlbody IS NOT NULL
    ORDER BY pg_proc.oid
"""
FUNCTIONS = "SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"


def definitions(connection: Connection, query: str) -> dict[tuple[str, str], str]:
    return {(table, name): definition for table, name, definition in connection.execute(text(query))}


def names(connection: Connection, query: str) -> set[str]:
    return {name for _, name in definitions(connection, query)}


def raised(connection: Connection) -> set[str]:
    """Name the constraints that triggers speak for."""
    sources = connection.scalars(text(FUNCTIONS))
    return {name for source in sources for name in re.findall(r"CONSTRAINT = '(\w+)'", source)}


@pytest.fixture
def made_by_the_models(connection: Connection, server_url: str, worker: str) -> Iterator[Connection]:
    """Connect to a database that the models made, without the migrations."""
    with fresh_database(server_url, f"mis_eventos_models_{worker}") as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as made:
            for name in connection.scalars(text(EXTENSIONS)):
                made.execute(text(f"CREATE EXTENSION {name}"))
            for definition in connection.scalars(text(IMMUTABLE_FUNCTIONS)).all():
                made.execute(text(definition))
            Base.metadata.create_all(made)
            yield made


def test_every_constraint_is_a_refusal_or_a_fault_of_ours_and_none_is_made_up(connection: Connection) -> None:
    of_the_database = names(connection, CONSTRAINTS) | names(connection, UNIQUE_INDEXES) | raised(connection)
    assert of_the_database == set(CONSTRAINT_PROBLEMS) | OUR_FAULTS


def test_no_constraint_is_both_a_refusal_and_a_fault_of_ours() -> None:
    assert set(CONSTRAINT_PROBLEMS) & OUR_FAULTS == set()


@pytest.mark.parametrize("query", [CONSTRAINTS, INDEXES], ids=["constraints", "indexes"])
def test_the_migrations_make_what_the_models_say_word_for_word(
    connection: Connection, made_by_the_models: Connection, query: str
) -> None:
    assert definitions(connection, query) == definitions(made_by_the_models, query)


def test_the_migrations_compute_what_the_models_compute(
    connection: Connection, made_by_the_models: Connection
) -> None:
    computed = """
        SELECT table_name, column_name, generation_expression FROM information_schema.columns
        WHERE is_generated = 'ALWAYS' AND table_schema = 'public'
    """
    by_migration = definitions(connection, computed)
    assert sorted(by_migration) == [
        ("events", "description_stems"),
        ("events", "has_places"),
        ("events", "is_live"),
        ("events", "name_words"),
        ("events", "venue_words"),
        ("rooms", "seats"),
        ("sessions", "during"),
    ]
    assert by_migration == definitions(made_by_the_models, computed)
