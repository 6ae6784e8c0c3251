"""What calendars show. What was cancelled or deleted is there for them: subscribers have to be told."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload, selectinload

from app.core.database import Database
from app.models import CalendarFeed, Event, Registration, Seat, Session, User


class Seated(NamedTuple):
    """A session in which somebody has a seat or has given one up."""

    session: Session
    event: Event
    held: bool
    changes: int


def _whole() -> Select[Session]:
    """Select sessions with all that a calendar shows of them."""
    return select(Session).options(joinedload(Session.place), selectinload(Session.speakers))


def list_sessions(db: Database, event_id: int) -> list[Session]:
    """Return all sessions that an event has ever had, in time order."""
    query = _whole().where(Session.event_id == event_id)
    return list(db.scalars(query.order_by(Session.start_at, Session.id)))


def list_registrations(db: Database, user_id: int) -> list[Registration]:
    """Return all registrations that somebody has ever had, with their events, oldest first."""
    query = select(Registration).where(Registration.user_id == user_id)
    return list(db.scalars(query.order_by(Registration.id).options(joinedload(Registration.event))))


def list_seated(db: Database, user_id: int) -> Sequence[Seated]:
    """Return the sessions in which somebody has or had a seat, in the order of their ids.

    ``changes`` counts how often a seat was taken and given up.
    """
    seats = (
        select(
            Seat.session_id,
            func.bool_or(Seat.given_up_at.is_(None)).label("held"),
            (func.count() + func.count(Seat.given_up_at)).label("changes"),
        )
        .where(Seat.user_id == user_id)
        .group_by(Seat.session_id)
        .subquery()
    )
    query = (
        _whole()
        .join(seats, seats.c.session_id == Session.id)
        .join(Event, Event.id == Session.event_id)
        .add_columns(Event, seats.c.held, seats.c.changes)
        .order_by(Session.id)
    )
    return [Seated(*row) for row in db.execute(query)]


def get_owner(db: Database, token_digest: bytes) -> User | None:
    """Return the active account whose calendar is read under that token."""
    owner = select(User).join(CalendarFeed, CalendarFeed.user_id == User.id)
    return db.scalar(owner.where(CalendarFeed.token_digest == token_digest, User.is_active))


def put_feed(db: Database, user_id: int, token_digest: bytes) -> CalendarFeed:
    """Give somebody's calendar a token, in the place of the one before."""
    made = insert(CalendarFeed).values(user_id=user_id, token_digest=token_digest)
    replaced = made.on_conflict_do_update(
        index_elements=[CalendarFeed.user_id],
        set_={"token_digest": made.excluded.token_digest, "created_at": func.now()},
    )
    written = db.scalars(replaced.returning(CalendarFeed), execution_options={"populate_existing": True})
    return written.one()
