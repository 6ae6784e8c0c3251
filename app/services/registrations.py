"""Registrations: a place at an event, taken and given back."""

from collections.abc import Sequence
from functools import partial

from app import crud
from app.core.database import Database
from app.core.exceptions import (
    AlreadyCheckedIn,
    AlreadyRegistered,
    EventFull,
    NotFound,
    NotRegistered,
    RegistrationClosed,
)
from app.core.exports import Export
from app.core.pagination import Slice
from app.models import Event, Registration, User
from app.models.enums import EventStatus, RegistrationStatus
from app.models.registration import new_ticket_code
from app.policies import (
    can_see_registration,
    ensure_can_see_event,
    ensure_can_staff_event,
)
from app.schemas.registrations import (
    AttendeeQuery,
    OwnRegistrationQuery,
    RegistrationMade,
    RegistrationRead,
)

ROWS_AT_ONCE = 500


def register(db: Database, actor: User, event_id: int) -> RegistrationMade:
    """Take a place at an event.

    Raises:
        RegistrationClosed: the event is not published, not open yet, closed or over.
        AlreadyRegistered: ``actor`` holds a live registration.
        EventFull: every place is taken.

    """
    found = crud.events.lock_for_admission(db, event_id)
    event, now = found or (None, None)
    event = ensure_can_see_event(db, actor, event)
    if now is None or not event.takes_registrations_at(now):
        raise RegistrationClosed
    if crud.registrations.exists_live(db, event.id, actor.id):
        raise AlreadyRegistered
    if event.capacity_available < 1:
        raise EventFull
    registration = crud.save(
        db,
        Registration(
            event_id=event.id,
            user_id=actor.id,
            status=RegistrationStatus.CONFIRMED,
            ticket_code=new_ticket_code(),
        ),
    )
    overlaps = crud.registrations.list_overlapping_events(db, event, actor.id)
    return RegistrationMade(**RegistrationRead.model_validate(registration).model_dump(), overlaps=overlaps)


def cancel(db: Database, actor: User, event_id: int) -> None:
    """Give a place back; it is free at once.

    Raises:
        NotRegistered: there is no live registration to cancel.
        RegistrationClosed: the event is over.
        AlreadyCheckedIn: the place has been used.

    """
    found = crud.events.lock_for_admission(db, event_id)
    registration = crud.registrations.lock_live(db, event_id, actor.id)
    if found is None or registration is None:
        raise NotRegistered
    event, now = found
    if event.status is EventStatus.FINISHED or now >= event.end_at:
        raise RegistrationClosed("The event is over, so its registrations stay as they are.")
    if registration.checked_in_at is not None:
        raise AlreadyCheckedIn
    crud.registrations.mark_cancelled(db, registration)


def read(db: Database, viewer: User, registration_id: int) -> Registration:
    """Return a registration to whose it is and to those who run the event."""
    registration = crud.get(db, Registration, registration_id)
    if registration is not None:
        event = crud.get(db, Event, registration.event_id)
        if can_see_registration(db, viewer, registration, event):
            return registration
    raise NotFound("There is no such registration of yours. Check the id.")


def list_own(db: Database, actor: User, wanted: OwnRegistrationQuery) -> Slice[Registration]:
    """Return one page of one's own registrations, newest first."""
    return crud.registrations.page_of_user(db, actor.id, wanted.paging, status=wanted.status)


def list_all_own(db: Database, actor: User) -> list[Registration]:
    """Return all of one's own registrations, newest first."""
    return crud.registrations.list_of_user(db, actor.id)


def list_attendees(db: Database, actor: User, event_id: int, wanted: AttendeeQuery) -> Slice[Registration]:
    """Return one page of an event's registrations, to those who run it."""
    ensure_can_staff_event(db, actor, crud.events.get(db, event_id))
    return crud.registrations.page_of_event(
        db, event_id, wanted.paging, status=wanted.status, search=wanted.search
    )


def export_attendees(db: Database, actor: User, event_id: int) -> Export:
    """Return all of an event's registrations as a table to download, to those who run it."""
    event = ensure_can_staff_event(db, actor, crud.events.get(db, event_id))
    return Export(
        filename=f"registrations-{event.id}.csv",
        columns=(
            "id",
            "status",
            "email",
            "full_name",
            "ticket_code",
            "created_at",
            "checked_in_at",
        ),
        after=partial(_rows_after, event_id=event.id),
    )


def _rows_after(db: Database, last_id: int, *, event_id: int) -> list[tuple[int, Sequence[object]]]:
    return [
        (
            entry.id,
            (
                entry.id,
                entry.status,
                entry.user.email,
                entry.user.full_name,
                entry.ticket_code,
                entry.created_at,
                entry.checked_in_at,
            ),
        )
        for entry in crud.registrations.list_after(db, event_id, last_id, ROWS_AT_ONCE)
    ]
