"""What every entity shares; the modules beside this one hold the questions peculiar to each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self, TypeVar

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute

from app.core.database import Database, Settings, with_settings
from app.core.pagination import COUNTED_AT_MOST, Paging, Place, Slice, Total
from app.models import Base
from app.models.constraints import CONSTRAINT_PROBLEMS, violated

Row = TypeVar("Row", bound=Base)
AnyRow = TypeVar("AnyRow")


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


@dataclass(frozen=True, slots=True)
class Order:
    """By which columns a list is ordered, all of them in one direction; the last makes it total.

    None of them may be null. Cursors know it by its ``name``, where a list chooses from several.
    """

    columns: Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]]
    descending: bool = False
    name: str = ""

    @property
    def clauses(self) -> list[ColumnElement[Any]]:
        """Write it as ORDER BY does."""
        return [column.desc() if self.descending else column.asc() for column in self.columns]

    def after(self, place: Place | None) -> ColumnElement[bool]:
        """Match what comes after a place; after none, everything."""
        return true() if place is None else self.beyond(map(literal, self.values(place)))

    def beyond(self, key: Iterable[ColumnElement[Any]]) -> ColumnElement[bool]:
        """Match what comes after the row with ``key``."""
        return (
            tuple_(*self.columns) < tuple_(*key) if self.descending else tuple_(*self.columns) > tuple_(*key)
        )

    def values(self, place: Place) -> list[Any]:
        """Return the key of ``place`` as what the columns hold."""
        return [
            datetime.fromisoformat(said) if column.type.python_type is datetime else said
            for column, said in zip(self.columns, place.key, strict=True)
        ]

    def until(self, key: Sequence[Any]) -> ColumnElement[bool]:
        """Match what comes no later than the row with ``key``."""
        given = tuple_(*map(literal, key))
        return tuple_(*self.columns) >= given if self.descending else tuple_(*self.columns) <= given

    def of(self, rows: FromClause) -> Self:
        """Return the same order of ``rows``, which have columns of these names."""
        return replace(self, columns=[rows.c[str(column.key)] for column in self.columns])

    def cut(self, query: Select[AnyRow], paging: Paging) -> Select[AnyRow]:
        """Cut a page out of ``query``, and one row more, which tells that it is not the last."""
        ordered = query.where(self.after(paging.start)).order_by(*self.clauses)
        return ordered.limit(paging.size + 1).offset(paging.offset)

    def key(self, row: object) -> list[Any]:
        """Return what places a row in the list."""
        return [getattr(row, str(column.key)) for column in self.columns]


def page(db: Database, query: Select[Row], paging: Paging, *, by: Order, filtered: bool) -> Slice[Row]:
    """Return one page of ``query``.

    The total is exact for a list without filters; a filtered one is counted up to a bound.
    """
    total = count_bounded(db, query) if filtered else Total(count(db, query))
    return cut(db, query, paging, by=by, total=total)


def cut(db: Database, query: Select[Row], paging: Paging, *, by: Order, total: Total) -> Slice[Row]:
    """Return one page of ``query``, which has ``total`` rows."""
    rows = db.scalars(by.cut(query, paging)).all()
    return slice_of(rows, by.key, paging, by=by, total=total)


def slice_of(
    rows: Sequence[AnyRow],
    key: Callable[[AnyRow], Sequence[Any]],
    paging: Paging,
    *,
    by: Order,
    total: Total,
) -> Slice[AnyRow]:
    """Make a page of ``rows``, one more than it holds unless it is the last; ``key`` places a row."""
    more = len(rows) > paging.size
    return Slice(
        rows[: paging.size],
        total.number,
        total.exact,
        paging.page,
        paging.size,
        paging.next_cursor(key(rows[paging.size - 1]), by.name) if more else None,
    )


def count(db: Database, query: Select[Any]) -> int:
    """Count the rows of ``query``."""
    return db.scalar(counting(query)) or 0


def count_bounded(db: Database, query: Select[Any], ways: Settings | None = None) -> Total:
    """Count the rows of ``query`` up to a bound."""
    return Total.bounded(db.scalar(counting_bounded(query), execution_options=ways or {}) or 0)


def counting(query: Select[Any]) -> Select[int]:
    """Select the number of rows of ``query``."""
    bare = query.order_by(None).with_only_columns(literal(1), maintain_column_froms=True)
    return select(func.count().label("number")).select_from(bare.subquery())


def counting_bounded(query: Select[Any]) -> Select[int]:
    """Select the number of rows of ``query``, as far as they are counted and one more."""
    return counting(query.limit(COUNTED_AT_MOST + 1))


def set_for_transaction(db: Database, settings: Mapping[str, str]) -> None:
    """Change settings of the server until the transaction ends."""
    local = literal(True)  # noqa: FBT003
    db.execute(select(*(func.set_config(name, value, local) for name, value in settings.items())))


def planned(settings: Mapping[str, str] | None = None, **ways: bool) -> Settings:
    """Tell the planner which ways to take and which not, each a setting without its ``enable_``.

    Nor shall it prepare to read everything, by more processes or compiled code: a list wants its first rows.
    Returned is what to execute a statement with, ``settings`` in it.
    """
    chosen = {f"enable_{way}": "on" if taken else "off" for way, taken in ways.items()}
    patient = {"jit": "off", "max_parallel_workers_per_gather": "0"}
    return with_settings({**patient, **chosen, **(settings or {})})


def within_name(column: InstrumentedAttribute[Any], part: str) -> ColumnElement[bool]:
    """Match ``part`` anywhere in ``column``, in whatever case, with ``%`` and ``_`` taken literally."""
    return column.icontains(part, autoescape=True)
