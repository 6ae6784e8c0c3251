"""The list of the events that all may see: filters, searches, orders and pages.

Which index serves which question is in ``docs/search.md``, and a test looks at the plans.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    bindparam,
    func,
    literal,
    select,
    true,
    union_all,
)

from app.core.database import Database, Settings
from app.core.pagination import COUNTED_AT_MOST, Paging, Slice, Total
from app.core.questions import Question, Ready
from app.crud import searches
from app.crud.columns import EVENT, EVENTS
from app.crud.records import Order, count_bounded, counting, counting_bounded, planned, slice_of
from app.crud.searches import Word
from app.models import EventCount
from app.models.enums import EventStatus
from app.schemas.events import EventQuery

_of, _counts = EVENTS.c, EventCount.__table__.c
ORDERS = {
    "start_at": Order((_of.start_at, _of.id)),
    "-start_at": Order((_of.start_at, _of.id), descending=True),
    "name": Order((_of.name, _of.id)),
    "-name": Order((_of.name, _of.id), descending=True),
    "-created_at": Order((_of.created_at, _of.id), descending=True),
}

SOONEST = "start_at"
CLOSEST = "closest"
NEWEST = "-created_at"
FORGIVING = "~"
READ_AHEAD = 2_000
FREQUENT = 0.15
"""What matches at least so often is counted as it comes along, and not by the index of words."""
MARGIN = 1.3
"""How many more events are looked at than should be enough."""
KEY = ("key", "id_of_key")

BY_INDEX = planned(seqscan=False)
# Along the index of an order, what is wanted turns up soon; a bitmap would first gather all of it.
ALONG = planned(seqscan=False, bitmapscan=False)
# An index in some order would be read from its beginning until enough is found.
BY_WORDS = planned(seqscan=False, indexscan=False, indexonlyscan=False)


def page_public(db: Database, wanted: EventQuery) -> Slice[Row[Any]]:
    """Return one page of what is shown of the events that all may see and register for."""
    question = ask_public(wanted)
    if question is not None:
        return question.ask(db)
    if wanted.search or wanted.venue:
        return _page_found(db, wanted)
    paging, by, kept = wanted.paging, ORDERS[wanted.sort or SOONEST], _Kept.by(wanted)
    page = by.cut(kept.events(by, paging), paging)
    answer = _counted(counting_bounded(kept.rows(_of.id)), page, by)
    rows = db.execute(answer, execution_options=BY_INDEX).all()
    return _slice_of_counted(rows, paging, by=by, total=Total.bounded(rows[0].number))


def ask_public(wanted: EventQuery) -> Question[Slice[Row[Any]]] | None:
    """Return the question that finds a page of all events, or None where some of them are wanted."""
    if wanted.search or wanted.venue or _Kept.by(wanted).filtered:
        return None
    paging, sort = wanted.paging, wanted.sort or SOONEST
    by, start = ORDERS[sort], paging.start
    key = {} if start is None else dict(zip(KEY, by.values(start), strict=True))
    cut = {"limit": paging.size + 1, "offset": paging.offset, **key}

    def answer(rows: Sequence[Row[Any]]) -> Slice[Row[Any]]:
        return _slice_of_counted(rows, paging, by=by, total=Total(int(rows[0].number)))

    return Question(_all(sort, walking=start is not None), cut, answer)


@cache
def _all(sort: str, *, walking: bool) -> Ready:
    """Select a page of all public events."""
    by = ORDERS[sort]
    page = _Kept((), None).events(by, Paging()).order_by(*by.clauses)
    if walking:
        key = (bindparam(name, type_=column.type) for name, column in zip(KEY, by.columns, strict=True))
        page = page.where(by.beyond(key))
    number = select(func.coalesce(func.sum(_counts.published), 0).label("number"))
    return Ready(_counted(number, page.limit(bindparam("limit")).offset(bindparam("offset")), by))


def _counted(number: Select[Any], page: Select[Any], by: Order) -> Select[Any]:
    """Select the rows of a page, each with the number of all, or that alone where there are none."""
    counted, rows = number.subquery(), page.subquery()
    return (
        select(*rows.c, counted.c.number)
        .select_from(counted.outerjoin(rows, true()))
        .order_by(*by.of(rows).clauses)
    )


def _slice_of_counted(
    rows: Sequence[Row[Any]], paging: Paging, *, by: Order, total: Total
) -> Slice[Row[Any]]:
    return slice_of([row for row in rows if row.id is not None], by.key, paging, by=by, total=total)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The events that a list keeps; with ``on_at``, those only that have not ended by then.

    An index in the order of beginnings would have to be read from the first event there ever was to find
    those, since nothing in it says how long events last. So they come in two parts: what runs then, which is
    little, and found by the index over both times; and what begins then or later. The first is fenced off, so
    that no plan reads the other index for it after all.
    """

    conditions: Sequence[ColumnElement[bool]]
    on_at: datetime | None

    @classmethod
    def by(cls, wanted: EventQuery, *more: ColumnElement[bool]) -> "_Kept":
        conditions = list(more)
        if wanted.starts_before:
            conditions.append(_of.start_at < wanted.starts_before)
        if wanted.organizer_id:
            conditions.append(_of.created_by == wanted.organizer_id)
        if wanted.has_places is not None:
            conditions.append(_of.has_places == wanted.has_places)
        return cls(conditions, wanted.ends_after)

    @property
    def filtered(self) -> bool:
        """Tell whether any public event might be left out."""
        return bool(self.conditions) or self.on_at is not None

    def rows(self, *columns: Any) -> Select[Any]:
        """Return these columns of all of them."""
        if self.on_at is None:
            return self._public(*columns)
        running, later = self._parts(*columns)
        return select(union_all(select(running), later).subquery())

    def events(self, by: Order, paging: Paging) -> Select[Any]:
        """Return what is shown of those on one page, and maybe of more of them."""
        if self.on_at is None:
            return self._public(*EVENT)
        running, later = self._parts(*by.columns)
        upto = replace(paging, page=1, size=paging.offset + paging.size)
        first = by.of(running).cut(select(running), upto), by.cut(later, upto)
        ids = union_all(*(select(part.subquery()) for part in first)).subquery()
        return select(*EVENT).join(ids, ids.c.id == _of.id)

    def _parts(self, *columns: Any) -> tuple[CTE, Select[Any]]:
        kept, during = self._public(*columns), func.tstzrange(_of.start_at, _of.end_at)
        running = kept.where(_of.start_at < self.on_at, during.bool_op("@>")(self.on_at))
        return running.cte().prefix_with("MATERIALIZED"), kept.where(_of.start_at >= self.on_at)

    def _public(self, *columns: Any) -> Select[Any]:
        public = _of.status == EventStatus.PUBLISHED, _of.deleted_at.is_(None)
        return select(*columns).where(*public, *self.conditions)


# Searches


def _page_found(db: Database, wanted: EventQuery) -> Slice[Row[Any]]:
    """Return one page of what a search finds as it is written or, where that is nothing, with typos forgiven.

    A cursor says which of the two it was: the walk goes on in the same list, whatever has changed.
    """
    start = wanted.paging.start
    words = searches.understand(db, wanted.search) if wanted.search else None
    venue = searches.understand(db, wanted.venue) if wanted.venue else None
    if start is None or not start.order.startswith(FORGIVING):
        found = _page_matches(db, wanted, words, venue)
        if found.total or words is None or start:
            return found
    return _page_matches(db, wanted, searches.forgive(db, words or []), venue, FORGIVING)


def _page_matches(
    db: Database, wanted: EventQuery, words: list[Word] | None, venue: list[Word] | None, stage: str = ""
) -> Slice[Row[Any]]:
    """Return one page of what has these words.

    As many as are counted are gathered and put in order. Of more than that, a page is read along the index of
    its order, where they are frequent by then; and where the closest would come first, the newest do.
    """
    conditions = []
    if words is not None:
        conditions.append(searches.matches(words, wanted.search_in))
    if venue is not None:
        conditions.append(searches.matches(venue, "venue"))
    kept, paging = _Kept.by(wanted, *conditions), wanted.paging
    by = along = replace(ORDERS[wanted.sort or SOONEST], name=stage)
    if words is not None and wanted.sort is None:
        distance = searches.distance(words, wanted.search_in).label("distance")
        by = Order((distance, _of.id), name=stage + CLOSEST)
        along = replace(ORDERS[NEWEST], name=stage + NEWEST)
    if paging.start and paging.start.order == stage + NEWEST:
        total = count_bounded(db, kept.rows(_of.id), BY_WORDS)
    else:
        whole = paging.start is not None and paging.start.order == stage + CLOSEST
        broad = words is not None and searches.is_broad(words)
        if whole or not broad or not _are_many(db, kept):
            found = _gather(db, kept, paging, by=by, whole=whole)
            if whole or found.total_exact:
                return found
        total = Total(COUNTED_AT_MOST, exact=False)
    return _read_along(db, kept, paging, by=along, total=total)


def _are_many(db: Database, kept: _Kept) -> bool:
    """Tell whether more is kept than is counted, if the newest events say so; else it stays open.

    The index of words gathers all that match before it shows the first, and where a letter or two are asked
    for, that may be half of all events. Then the first that come along show it sooner. A few of them tell
    how many it would take.
    """
    if kept.on_at is not None:
        return False
    enough = COUNTED_AT_MOST + 1
    some = _count_among(db, kept, READ_AHEAD, READ_AHEAD)
    if some < FREQUENT * READ_AHEAD:
        return False
    return _count_among(db, kept, int(MARGIN * enough * READ_AHEAD / some), enough) == enough


def _count_among(db: Database, kept: _Kept, newest: int, most: int) -> int:
    """Count what is kept of the newest events, up to ``most``; nothing where there are not so many."""
    by = Order((_of.id,), descending=True)
    last = db.execute(select(_of.id).order_by(*by.clauses).offset(newest).limit(1)).first()
    if last is None:
        return 0
    among = replace(kept, conditions=[*kept.conditions, by.until(last)])
    return db.scalar(counting(among.rows(_of.id).limit(most)), execution_options=ALONG) or 0


def _gather(db: Database, kept: _Kept, paging: Paging, *, by: Order, whole: bool) -> Slice[Row[Any]]:
    """Return one page of what is kept, put in order; of more than are counted, their number alone.

    Who walks through the ``whole`` of it gets it even if it has grown since.
    """
    rows = kept.rows(*by.columns)
    found = (rows if whole else rows.limit(COUNTED_AT_MOST + 1)).cte("found")
    count = select(func.count().label("count")).select_from(found)
    few = literal(whole) | (count.scalar_subquery() <= COUNTED_AT_MOST)
    page = by.of(found).cut(select(found).where(few), paging).subquery()
    counted = count.subquery()
    # Joined from the count, which is there even if nothing else is.
    answered = counted.outerjoin(page, true()).outerjoin(EVENTS, _of.id == page.c.id)
    key = [column.label(name) for name, column in zip(KEY, by.of(page).columns, strict=True)]
    answer = select(counted.c.count, *EVENT, *key).select_from(answered).order_by(*by.of(page).clauses)
    rows_of_page = db.execute(answer, execution_options=BY_WORDS).all()
    events = [row for row in rows_of_page if row.id is not None]
    return slice_of(
        events, lambda row: row[-len(KEY) :], paging, by=by, total=Total.bounded(rows_of_page[0][0])
    )


def _read_along(db: Database, kept: _Kept, paging: Paging, *, by: Order, total: Total) -> Slice[Row[Any]]:
    """Return one page of what is kept, which is much, from the next rows of the index of its order.

    Or from all of them, where what is kept lies further on.
    """
    # What runs at ``on_at`` is little, and stands before all of these in the order of beginnings.
    later = [_of.start_at >= kept.on_at] if kept.on_at and by.columns[0].key == "start_at" else []
    near = by.cut(_Kept(later, None).rows(*by.columns), replace(paging, page=1, size=READ_AHEAD))
    last = db.execute(near.offset(READ_AHEAD).limit(1), execution_options=BY_INDEX).first()
    if last is None:
        rows = _rows_of_page(db, kept, paging, by=by, ways=BY_INDEX)
    else:
        ahead = replace(kept, conditions=[*kept.conditions, by.until(last)])
        rows = _rows_of_page(db, ahead, paging, by=by, ways=ALONG)
        if len(rows) <= paging.size:
            rows = _rows_of_page(db, kept, paging, by=by, ways=BY_WORDS)
    return slice_of(rows, by.key, paging, by=by, total=total)


def _rows_of_page(
    db: Database, kept: _Kept, paging: Paging, *, by: Order, ways: Settings
) -> Sequence[Row[Any]]:
    """Return the rows of one page of what is kept, and one more unless it is the last."""
    return db.execute(by.cut(kept.events(by, paging), paging), execution_options=ways).all()
