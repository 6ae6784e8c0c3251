"""How Alembic reaches the database: the same settings as the service, or the connection it is handed."""

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine, text

from app.core.settings import load_settings
from app.core.startup import database_url
from app.models import Base

# Any constant does; it only has to be this project's own.
MIGRATION_LOCK = 6_117_204_955


def migrate(connection: Connection) -> None:
    """Run what was asked for in one transaction, one process at a time."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()


def connect_and_migrate() -> None:
    """Open a connection of our own, as the command line does."""
    with database_url(load_settings()) as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            migrate(connection)
            connection.commit()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    connect_and_migrate()
