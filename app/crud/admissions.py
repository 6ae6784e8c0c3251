"""What a batch of applications asks and writes: a fixed number of statements, whatever the batch holds.

Each statement is put together once, here: building one anew takes longer than PostgreSQL needs to answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    DateTime,
    Integer,
    String,
    TableValuedAlias,
    and_,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.orm import aliased

from app.core.database import Database
from app.models import Base, Event, Registration
from app.models.enums import EventStatus, RegistrationStatus

IDS = bindparam("ids", type_=ARRAY(Integer))


@dataclass(slots=True)
class Doors:
    """An event as it stands at its doors, held for this transaction, without an object to track."""

    id: int
    status: EventStatus
    start_at: datetime
    end_at: datetime
    registration_opens_at: datetime | None
    registration_closes_at: datetime | None
    waitlist_enabled: bool
    created_by: int
    free: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A registration about to be written."""

    event_id: int
    user_id: int
    status: RegistrationStatus
    ticket_code: str


def as_table(**columns: type[Integer | String] | DateTime) -> TableValuedAlias:
    """Read arrays of equal length, each bound under the name of its column, as the rows of a table."""
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*columns, with_ordinality="arrival").render_derived()


_DOORS = (
    select(
        func.now(),
        Event.id,
        Event.status,
        Event.start_at,
        Event.end_at,
        Event.registration_opens_at,
        Event.registration_closes_at,
        Event.waitlist_enabled,
        Event.created_by,
        Event.capacity_total - Event.confirmed_count,
        Event.waitlist_count,
    )
    .where(Event.id == func.any(IDS), Event.deleted_at.is_(None))
    .order_by(Event.id)
)
_HELD_DOORS = _DOORS.with_for_update(key_share=True)
_FREE_DOORS = _DOORS.with_for_update(key_share=True, skip_locked=True)

_pairs = as_table(events=Integer, users=Integer)
_LIVE = select(Registration.event_id, Registration.user_id).join(
    _pairs,
    and_(
        Registration.event_id == _pairs.c.events,
        Registration.user_id == _pairs.c.users,
        Registration.status != RegistrationStatus.CANCELLED,
    ),
)

_rows = as_table(events=Integer, users=Integer, statuses=String, tickets=String)
# On the table and not the model: the ORM would take the arrays for rows.
_registrations = Base.metadata.tables["registrations"]
_ADD = (
    insert(_registrations)
    .from_select(
        ["event_id", "user_id", "status", "ticket_code"],
        select(_rows.c.events, _rows.c.users, _rows.c.statuses, _rows.c.tickets).order_by(_rows.c.arrival),
    )
    .returning(_registrations.c.ticket_code, _registrations.c.id, _registrations.c.created_at)
)

_new, _older = aliased(Registration), aliased(Registration)
_this, _other = aliased(Event), aliased(Event)
_OVERLAPS = (
    select(_new.id, _other.id)
    .join(_this, _this.id == _new.event_id)
    .join(
        _older,
        and_(
            _older.user_id == _new.user_id,
            _older.id < _new.id,
            _older.status == RegistrationStatus.CONFIRMED,
            _older.event_id != _new.event_id,
        ),
    )
    .join(
        _other,
        and_(
            _other.id == _older.event_id,
            _other.start_at < _this.end_at,
            _other.end_at > _this.start_at,
        ),
    )
    .where(_new.id == func.any(IDS))
    .order_by(_other.id)
)


def lock_doors(
    db: Database, event_ids: Collection[int], *, wait: bool = True
) -> tuple[dict[int, Doors], datetime | None]:
    """Return events by id and the time by the database's clock, and keep their places until the end.

    The rows are locked in the order of their ids, as everywhere, so that no two batches wait for each
    other. Sessions may still be planned meanwhile. Without ``wait``, events that others hold are left out.
    """
    now, doors = None, {}
    locked = db.execute(_HELD_DOORS if wait else _FREE_DOORS, {"ids": sorted(event_ids)})
    for now, *facts in locked:  # noqa: B007 - every row says the same
        door = Doors(*facts)
        doors[door.id] = door
    return doors, now


def list_live(db: Database, pairs: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which of the pairs of event and user hold a live registration."""
    events, users = zip(*pairs, strict=True)
    found = db.execute(_LIVE, {"events": list(events), "users": list(users)})
    return {(event_id, user_id) for event_id, user_id in found}


def add_all(db: Database, admitted: Sequence[Admitted]) -> list[tuple[int, datetime]]:
    """Write registrations in the order given, which is the order of their ids, and return ids and times."""
    written = db.execute(
        _ADD,
        {
            "events": [entry.event_id for entry in admitted],
            "users": [entry.user_id for entry in admitted],
            "statuses": [str(entry.status) for entry in admitted],
            "tickets": [entry.ticket_code for entry in admitted],
        },
    )
    by_ticket = {ticket: (key, at) for ticket, key, at in written}
    return [by_ticket[entry.ticket_code] for entry in admitted]


def map_overlaps(db: Database, ids: Collection[int]) -> dict[int, list[int]]:
    """Return, for registrations, the other events at that time where their owner had a place before."""
    found: dict[int, list[int]] = {}
    for key, overlapping in db.execute(_OVERLAPS, {"ids": list(ids)}):
        found.setdefault(key, []).append(overlapping)
    return found
