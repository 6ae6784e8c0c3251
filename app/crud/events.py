"""Questions about events. A deleted event is not there for any of them."""

from datetime import datetime

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import selectinload

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.records import page, within_name
from app.crud.sessions import AT_ONCE
from app.models import Event, Session, TeamMember
from app.models.enums import EventStatus
from app.schemas.events import EventQuery

_ORDERS = {
    "start_at": (Event.start_at, Event.id),
    "-start_at": (Event.start_at.desc(), Event.id.desc()),
    "name": (Event.name, Event.id),
    "-name": (Event.name.desc(), Event.id.desc()),
    "-created_at": (Event.created_at.desc(), Event.id.desc()),
}


def _existing(event_id: int) -> Select[Event]:
    return select(Event).where(Event.id == event_id, Event.deleted_at.is_(None))


def get(db: Database, event_id: int) -> Event | None:
    """Return an event."""
    return db.scalar(_existing(event_id))


def get_with_sessions(db: Database, event_id: int) -> Event | None:
    """Return an event with its sessions, their rooms and their speakers, in a fixed number of queries."""
    sessions = selectinload(Event.sessions)
    return db.scalar(
        _existing(event_id)
        .options(
            sessions.joinedload(Session.place), sessions.selectinload(Session.speakers, chunksize=AT_ONCE)
        )
        .execution_options(populate_existing=True)
    )


def get_with_owner(db: Database, event_id: int) -> Event | None:
    """Return an event with the account that owns it."""
    return db.scalar(_existing(event_id).options(selectinload(Event.owner)))


def lock(db: Database, event_id: int) -> Event | None:
    """Return an event and keep everybody else from touching it or its sessions until the end."""
    return db.scalar(_existing(event_id).with_for_update().execution_options(populate_existing=True))


def lock_for_admission(db: Database, event_id: int) -> tuple[Event, datetime] | None:
    """Return an event and the time by the database's clock, and keep its places for this transaction.

    Sessions may still be planned meanwhile.
    """
    query = select(Event, func.now()).where(Event.id == event_id, Event.deleted_at.is_(None))
    found = db.execute(
        query.with_for_update(key_share=True, of=Event).execution_options(populate_existing=True)
    ).one_or_none()
    return (found[0], found[1]) if found else None


def lock_window(db: Database, event_id: int) -> Event | None:
    """Return an event and keep its times and status as they are, while its places go on selling."""
    return db.scalar(
        _existing(event_id)
        .with_for_update(read=True, key_share=True)
        .execution_options(populate_existing=True)
    )


def page_public(db: Database, wanted: EventQuery) -> Slice[Event]:
    """Return one page of the events that all may see and register for."""
    conditions = []
    if wanted.search:
        conditions.append(within_name(Event.name, wanted.search))
    if wanted.venue:
        conditions.append(within_name(Event.venue, wanted.venue))
    if wanted.ends_after:
        conditions.append(Event.end_at > wanted.ends_after)
    if wanted.starts_before:
        conditions.append(Event.start_at < wanted.starts_before)
    if wanted.organizer_id:
        conditions.append(Event.created_by == wanted.organizer_id)
    if wanted.has_places is not None:
        conditions.append((Event.confirmed_count < Event.capacity_total) == wanted.has_places)
    public = select(Event).where(Event.status == EventStatus.PUBLISHED, Event.deleted_at.is_(None))
    query = public.where(*conditions).order_by(*_ORDERS[wanted.sort])
    return page(db, query, wanted.paging, filtered=bool(conditions))


def page_run_by(db: Database, user_id: int, paging: Paging, *, status: EventStatus | None) -> Slice[Event]:
    """Return one page of the events that someone owns or helps to run, newest first."""
    helped = select(TeamMember.event_id).where(TeamMember.user_id == user_id)
    query = (
        select(Event)
        .where(
            or_(Event.created_by == user_id, Event.id.in_(helped)),
            Event.deleted_at.is_(None),
        )
        .order_by(Event.id.desc())
    )
    if status:
        query = query.where(Event.status == status)
    return page(db, query, paging, filtered=status is not None)
