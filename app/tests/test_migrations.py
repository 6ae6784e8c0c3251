"""The migrations make the models' schema, all of it, and unmake it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, NullPool, create_engine, inspect, text

from app.core import migrations
from app.core.settings import PROJECT
from app.tests.conftest import fresh_database


@pytest.fixture
def empty(server_url: str, worker: str) -> Iterator[Engine]:
    with fresh_database(server_url, f"mis_eventos_migrations_{worker}") as url:
        yield create_engine(url, poolclass=NullPool)


def names_of_everything(engine: Engine) -> set[str]:
    query = text("""
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'
    """)
    with engine.connect() as connection:
        return set(connection.scalars(query))


def test_after_an_upgrade_alembic_finds_nothing_to_do(empty: Engine) -> None:
    migrations.upgrade(empty)
    migrations.check(empty)
    assert migrations.is_migrated(empty)


def test_a_downgrade_to_base_leaves_nothing_but_alembics_own_empty_table(empty: Engine) -> None:
    migrations.upgrade(empty)
    assert inspect(empty).has_table("events")
    migrations.downgrade(empty, "base")
    assert names_of_everything(empty) == {"alembic_version", "alembic_version_pkc"}
    migrations.upgrade(empty)
    migrations.check(empty)


def test_an_unfinished_migration_leaves_nothing_behind(empty: Engine) -> None:
    def migrate_and_die() -> None:
        with empty.begin() as connection:
            config = Config(PROJECT / "alembic.ini")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            assert inspect(connection).has_table("events")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        migrate_and_die()
    assert names_of_everything(empty) == set()


def test_several_workers_starting_at_once_migrate_once(empty: Engine) -> None:
    start = (
        "import sys; from sqlalchemy import create_engine; from app.core.migrations import upgrade; "
        "upgrade(create_engine(sys.argv[1]))"
    )
    url = empty.url.render_as_string(hide_password=False)
    workers = [subprocess.Popen([sys.executable, "-c", start, url], cwd=PROJECT) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0, 0]
    assert migrations.is_migrated(empty)


def test_a_difference_between_models_and_database_is_found(empty: Engine) -> None:
    migrations.upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text("ALTER TABLE events ADD COLUMN forgotten integer"))
    with pytest.raises(Exception, match="New upgrade operations detected"):
        migrations.check(empty)
