"""Questions about seats, and what a batch of applications for them asks and writes.

A batch takes a fixed number of statements, each put together once, here. Locks are taken on events, then
sessions, then accounts, in the order of their ids: as by everybody who plans or cancels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    and_,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import aliased, joinedload

from app.core.database import Database
from app.crud.admissions import IDS, as_table
from app.crud.records import save
from app.crud.sessions import Attempt
from app.models import Base, Event, Registration, Seat, Session, User
from app.models.enums import EventStatus, RegistrationStatus

HELD = Seat.given_up_at.is_(None)


@dataclass(frozen=True, slots=True)
class SessionDoors:
    """A session as it stands at its doors, held for this transaction, without an object to track."""

    id: int
    event_id: int
    start_at: datetime
    end_at: datetime
    is_over: bool
    free: int | None
    event_status: EventStatus


@dataclass(frozen=True, slots=True)
class Seated:
    """A seat about to be written."""

    session_id: int
    user_id: int


_EVENTS = (
    select(Event.id, Event.status)
    .where(
        Event.id.in_(select(Session.event_id).where(Session.id == func.any(IDS))),
        Event.deleted_at.is_(None),
    )
    .order_by(Event.id)
)
_HELD_EVENTS = _EVENTS.with_for_update(key_share=True, of=Event)
_FREE_EVENTS = _EVENTS.with_for_update(key_share=True, of=Event, skip_locked=True)

_SESSIONS = (
    select(
        Session.id,
        Session.event_id,
        Session.start_at,
        Session.end_at,
        Session.end_at <= func.now(),
        func.coalesce(Session.own_capacity, Session.room_seats) - Session.seats_taken,
    )
    .where(Session.id == func.any(IDS), Session.deleted_at.is_(None))
    .order_by(Session.id)
)
_HELD_SESSIONS = _SESSIONS.with_for_update(key_share=True)
_FREE_SESSIONS = _SESSIONS.with_for_update(key_share=True, skip_locked=True)

_pairs = as_table(events=Integer, users=Integer)
_REGISTERED = select(Registration.event_id, Registration.user_id).join(
    _pairs,
    and_(
        Registration.event_id == _pairs.c.events,
        Registration.user_id == _pairs.c.users,
        Registration.status == RegistrationStatus.CONFIRMED,
    ),
)

_wishes = as_table(sessions=Integer, users=Integer)
_IN_THE_WAY = (
    select(_wishes.c.sessions, _wishes.c.users, Seat.session_id)
    .join(Session, Session.id == _wishes.c.sessions)
    .join(Seat, and_(Seat.user_id == _wishes.c.users, HELD, Seat.during.op("&&")(Session.during)))
)

_seats = Base.metadata.tables["seats"]
_ADD = (
    # On the table and not the model: the ORM would take the arrays for rows.
    insert(_seats)
    .from_select(
        ["session_id", "event_id", "user_id", "during"],
        select(Session.id, Session.event_id, _wishes.c.users, Session.during)
        .join(_wishes, _wishes.c.sessions == Session.id)
        .order_by(_wishes.c.arrival),
    )
    .returning(_seats.c.id, _seats.c.session_id, _seats.c.event_id, _seats.c.user_id, _seats.c.created_at)
)


def lock_doors(db: Database, session_ids: Collection[int], *, wait: bool = True) -> dict[int, SessionDoors]:
    """Return sessions by id, as they are by the database's clock, and keep their seats until the end.

    Their events are locked first, like for a registration: nobody gains or loses a place there meanwhile.
    Without ``wait``, sessions that others hold, or whose event they hold, are left out.
    """
    ids = {"ids": sorted(session_ids)}
    events = db.execute(_HELD_EVENTS if wait else _FREE_EVENTS, ids)
    statuses = {event.id: event.status for event in events}
    return {
        key: SessionDoors(key, event_id, start_at, end_at, is_over, free, statuses[event_id])
        for key, event_id, start_at, end_at, is_over, free in db.execute(
            _HELD_SESSIONS if wait else _FREE_SESSIONS, ids
        )
        if event_id in statuses
    }


def list_registered(db: Database, pairs: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which of the pairs of event and user hold a confirmed registration."""
    events, users = zip(*pairs, strict=True) if pairs else ((), ())
    found = db.execute(_REGISTERED, {"events": list(events), "users": list(users)})
    return {(event_id, user_id) for event_id, user_id in found}


def map_in_the_way(db: Database, wishes: Collection[tuple[int, int]]) -> dict[tuple[int, int], set[int]]:
    """Return, for pairs of session and user, where the user has a seat at that time: there, or elsewhere."""
    sessions, users = zip(*wishes, strict=True) if wishes else ((), ())
    found: dict[tuple[int, int], set[int]] = {}
    for session_id, user_id, held in db.execute(
        _IN_THE_WAY, {"sessions": list(sessions), "users": list(users)}
    ):
        found.setdefault((session_id, user_id), set()).add(held)
    return found


def add_all(db: Database, seated: Sequence[Seated]) -> list[Row[int, int, int, int, datetime]]:
    """Write seats, and return the id, session, event, user and time of each in the order given."""
    wishes = {
        "sessions": [entry.session_id for entry in seated],
        "users": [entry.user_id for entry in seated],
    }
    written = {(row.session_id, row.user_id): row for row in db.execute(_ADD, wishes)}
    return [written[entry.session_id, entry.user_id] for entry in seated]


def lock_held(db: Database, session_id: int, user_id: int) -> Seat | None:
    """Return someone's seat in a session, and keep the seats there as they are until the end."""
    db.execute(_HELD_SESSIONS, {"ids": [session_id]})
    return db.scalar(select(Seat).where(Seat.session_id == session_id, Seat.user_id == user_id, HELD))


def mark_given_up(db: Database, seat: Seat) -> None:
    """Give one seat up now."""
    save(db, seat, {"given_up_at": func.now()})


def list_clashes(db: Database, planned: Attempt) -> list[tuple[int, int]]:
    """Return who of a session has a seat elsewhere at the time of ``planned``, and in which session."""
    other = aliased(Seat)
    query = select(Seat.user_id, other.session_id).join(other, _elsewhere(other, planned))
    return [(user_id, held) for user_id, held in db.execute(query.where(_of(planned)))]


def release(db: Database, planned: Attempt) -> list[Row[int, str, str | None]]:
    """Give up the seats in a session of exactly those who have one elsewhere at the time of ``planned``.

    Returns the id, email and name of each, by id.
    """
    other = aliased(Seat)
    clashing = update(Seat).where(
        _of(planned), User.id == Seat.user_id, exists().where(_elsewhere(other, planned))
    )
    released = db.execute(
        clashing.values(given_up_at=func.now()).returning(User.id, User.email, User.full_name),
        execution_options={"synchronize_session": False},
    )
    return sorted(released, key=lambda row: row.id)


def _of(planned: Attempt) -> ColumnElement[bool]:
    return and_(Seat.session_id == planned.session_id, HELD)


def _elsewhere(other: type[Seat], planned: Attempt) -> ColumnElement[bool]:
    return and_(
        other.user_id == Seat.user_id,
        other.session_id != planned.session_id,
        other.given_up_at.is_(None),
        other.during.op("&&")(func.tstzrange(planned.start_at, planned.end_at, "[)")),
    )


def list_agenda(db: Database, user_id: int) -> Sequence[Session]:
    """Return the sessions in which someone has a seat, with all that is shown of them, in one query."""
    whole = (
        joinedload(Session.event).load_only(Event.id, Event.name),
        joinedload(Session.place),
        joinedload(Session.speakers),
    )
    query = select(Session).join(Seat, Seat.session_id == Session.id).where(Seat.user_id == user_id, HELD)
    return db.scalars(query.options(*whole).order_by(Session.start_at, Session.id)).unique().all()
