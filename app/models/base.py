"""What every table shares: names for constraints, and types that keep time aware."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Enum, MetaData
from sqlalchemy.orm import DeclarativeBase

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - as SQLAlchemy has it
    # Fetch what the database computes with the write itself, never by a second query later.
    __mapper_args__: dict[str, Any] = {"eager_defaults": True}  # noqa: RUF012


def closed_set(kind: type[StrEnum], length: int = 16) -> Enum:
    """Store ``kind`` as text with a CHECK: a new member is one migration and no ALTER TYPE."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=length,
        # Plain text, so that Alembic can write it into a migration.
        values_callable=lambda members: [member.value for member in members],
    )


def one_of(column: str, kind: type[StrEnum]) -> str:
    """Write the CHECK that keeps ``column`` inside ``kind``."""
    return f"{column} IN ({', '.join(repr(str(member)) for member in kind)})"
