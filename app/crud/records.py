"""What every entity shares; the modules beside this one hold the questions peculiar to each."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute

from app.core.database import Database
from app.core.pagination import COUNTED_AT_MOST, Paging, Slice
from app.models import Base
from app.models.constraints import CONSTRAINT_PROBLEMS, violated

Row = TypeVar("Row", bound=Base)


def get(db: Database, kind: type[Row], key: int) -> Row | None:
    """Return one row by its id."""
    return db.get(kind, key)


def save(db: Database, row: Row, changes: Mapping[str, Any] | None = None) -> Row:
    """Write a new row, or ``changes`` to one that is there."""
    for name, value in (changes or {}).items():
        setattr(row, name, value)
    db.add(row)
    db.flush()
    return row


def try_save(db: Database, row: Base, changes: Mapping[str, Any] | None = None) -> str | None:
    """Write as ``save`` does, and return the constraint that refused it, if one did.

    The transaction goes on after a refusal, so that whoever asked can look up what stands in the way.
    """
    return attempt(db, lambda: save(db, row, changes))


def attempt(db: Database, work: Callable[[], object]) -> str | None:
    """Do ``work`` in a savepoint, and return the constraint that undid it, if one did.

    A constraint that no client's request should meet is raised as it is.
    """
    try:
        with db.begin_nested():
            work()
    except IntegrityError as error:
        name = violated(error)
        if name not in CONSTRAINT_PROBLEMS:
            raise
        return name
    return None


def soft_delete(db: Database, row: Base, changes: Mapping[str, Any] | None = None) -> None:
    """Mark one row as deleted now, with ``changes`` that go with it."""
    save(db, row, {**(changes or {}), "deleted_at": func.now()})


def remove(db: Database, row: Base) -> None:
    """Delete one row."""
    db.delete(row)
    db.flush()


def page(db: Database, query: Select[Row], paging: Paging, *, filtered: bool) -> Slice[Row]:
    """Return one page of ``query``, which has its order already.

    The total is exact for a list without filters; a filtered one is counted up to a bound.
    """
    items = db.scalars(query.limit(paging.size).offset(paging.offset)).all()
    matches = query.order_by(None).with_only_columns(literal(1), maintain_column_froms=True)
    if filtered:
        matches = matches.limit(COUNTED_AT_MOST + 1)
    counted = db.scalar(select(func.count()).select_from(matches.subquery())) or 0
    exact = not filtered or counted <= COUNTED_AT_MOST
    return Slice(items, counted if exact else COUNTED_AT_MOST, exact, paging.page, paging.size)


def within_name(column: InstrumentedAttribute[Any], part: str) -> ColumnElement[bool]:
    """Match ``part`` anywhere in ``column``, in whatever case, with ``%`` and ``_`` taken literally."""
    return column.icontains(part, autoescape=True)
