"""What every table shares: names for constraints, and types that keep time aware."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Enum, MetaData, text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


DIGEST_BYTES = 32  # of a SHA-256


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - as SQLAlchemy has it
    # Fetch what the database computes with the write itself, never by a second query later.
    __mapper_args__: dict[str, Any] = {"eager_defaults": True}  # noqa: RUF012


class Versioned:
    """A row that numbers its edits, so that of two editors neither overwrites the other in silence.

    An edit of a row that has changed since it was read raises ``StaleDataError``. Counters that triggers
    keep are no edits.
    """

    version: Mapped[int] = mapped_column(server_default=text("1"))

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - as SQLAlchemy has it
        """Let SQLAlchemy compare and count the version."""
        return {**Base.__mapper_args__, "version_id_col": cls.version}


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
