"""Questions about events. A deleted event is not there for any of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, func, or_, select
from sqlalchemy.orm import selectinload

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.columns import EVENTS, WHOLE_EVENT
from app.crud.records import Order, page
from app.crud.sessions import AT_ONCE
from app.models import Event, Session, TeamMember
from app.models.enums import EventStatus


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


# Put together once: it takes as long as to read its answer.
_SHOWN = select(*WHOLE_EVENT).where(EVENTS.c.id == bindparam("event_id"), EVENTS.c.deleted_at.is_(None))


def get_shown(db: Database, event_id: int) -> Any | None:
    """Return what is shown of an event and its sessions, with what policies ask, by one query."""
    return db.execute(_SHOWN, {"event_id": event_id}).one_or_none()


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


def page_run_by(db: Database, user_id: int, paging: Paging, *, status: EventStatus | None) -> Slice[Event]:
    """Return one page of the events that someone owns or helps to run, newest first."""
    helped = select(TeamMember.event_id).where(TeamMember.user_id == user_id)
    query = select(Event).where(
        or_(Event.created_by == user_id, Event.id.in_(helped)), Event.deleted_at.is_(None)
    )
    if status:
        query = query.where(Event.status == status)
    newest_first = Order((Event.id,), descending=True)
    return page(db, query, paging, by=newest_first, filtered=status is not None)
