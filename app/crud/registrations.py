"""Questions about registrations."""

from collections.abc import Sequence

from sqlalchemy import (
    Select,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import selectinload

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.records import Order, page, save, within_name
from app.models import Event, Registration, User
from app.models.enums import EventStatus, RegistrationStatus

LIVE = Registration.status != RegistrationStatus.CANCELLED


def lock_live(db: Database, event_id: int, user_id: int) -> Registration | None:
    """Return someone's live registration for an event and keep others from changing it until the end."""
    return db.scalar(
        select(Registration)
        .where(Registration.event_id == event_id, Registration.user_id == user_id, LIVE)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def promote(db: Database, event_id: int) -> None:
    """Give the free places of an event to the head of its waitlist, if it still takes people.

    For every service that frees places, in the transaction that frees them and under the event's lock.
    """
    takers = Event.status == EventStatus.PUBLISHED, Event.end_at > func.now(), Event.id == event_id
    free = select(func.greatest(Event.capacity_total - Event.confirmed_count, 0)).where(*takers)
    head = (
        select(Registration.id)
        .where(Registration.event_id == event_id, Registration.status == RegistrationStatus.WAITLISTED)
        .order_by(Registration.id)
        .limit(func.coalesce(free.scalar_subquery(), 0))
    )
    db.execute(
        update(Registration).where(Registration.id.in_(head)).values(status=RegistrationStatus.CONFIRMED),
        execution_options={"synchronize_session": False},
    )


def mark_cancelled(db: Database, registration: Registration) -> None:
    """Cancel one registration now."""
    save(
        db,
        registration,
        {"status": RegistrationStatus.CANCELLED, "cancelled_at": func.now()},
    )


def cancel_all(db: Database, event_id: int) -> None:
    """Cancel every live registration of an event."""
    live = update(Registration).where(Registration.event_id == event_id, LIVE)
    db.execute(
        live.values(status=RegistrationStatus.CANCELLED, cancelled_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def page_of_user(
    db: Database, user_id: int, paging: Paging, *, status: RegistrationStatus | None
) -> Slice[Registration]:
    """Return one page of someone's registrations with their events, newest first."""
    query = _of_user(user_id)
    newest_first = Order((Registration.id,), descending=True)
    if status:
        query = query.where(Registration.status == status)
    return page(db, query, paging, by=newest_first, filtered=status is not None)


def list_of_user(db: Database, user_id: int) -> list[Registration]:
    """Return all of someone's registrations with their events, newest first."""
    return list(db.scalars(_of_user(user_id).order_by(Registration.id.desc())))


def page_of_event(
    db: Database,
    event_id: int,
    paging: Paging,
    *,
    status: RegistrationStatus | None,
    search: str | None,
) -> Slice[Registration]:
    """Return one page of an event's registrations with their accounts, in the order of acceptance."""
    query = _of_event(event_id)
    if status:
        query = query.where(Registration.status == status)
    if search:
        query = query.join(Registration.user).where(
            or_(within_name(User.email, search), within_name(User.full_name, search))
        )
    return page(db, query, paging, by=Order((Registration.id,)), filtered=bool(status or search))


def list_after(db: Database, event_id: int, after: int, limit: int) -> Sequence[Registration]:
    """Return up to ``limit`` of an event's registrations with ids above ``after``, with their accounts."""
    query = _of_event(event_id).where(Registration.id > after)
    return db.scalars(query.order_by(Registration.id).limit(limit)).all()


def _of_user(user_id: int) -> Select[Registration]:
    mine = select(Registration).where(Registration.user_id == user_id)
    return mine.options(selectinload(Registration.event))


def _of_event(event_id: int) -> Select[Registration]:
    theirs = select(Registration).where(Registration.event_id == event_id)
    return theirs.options(selectinload(Registration.user))
