"""Events: made, edited, published, cancelled, deleted."""

from typing import Any

from app import crud
from app.core.database import Database
from app.core.exceptions import (
    CapacityBelowConfirmed,
    IllegalStatusChange,
    InvalidRequest,
    SessionOutsideEvent,
    WaitlistNotEmpty,
)
from app.core.pagination import Slice
from app.core.settings import EventCreators
from app.crud.listings import page_public as list_public
from app.models import Event, User
from app.models.enums import EventStatus
from app.policies import (
    ensure_can_create_event,
    ensure_can_edit_event,
    ensure_can_own_event,
    ensure_can_see_event,
)
from app.schemas.events import EventCreate, EventUpdate, OwnEventQuery
from app.schemas.sessions import outline

__all__ = ["cancel_and_delete", "create", "edit", "list_public", "list_run_by", "read"]


def list_run_by(db: Database, actor: User, wanted: OwnEventQuery) -> Slice[Event]:
    """Return one page of the events that ``actor`` owns or helps to run, drafts and all."""
    return crud.events.page_run_by(db, actor.id, wanted.paging, status=wanted.status)


def create(db: Database, actor: User, command: EventCreate, creators: EventCreators) -> Event:
    """Make an event, which ``actor`` then owns."""
    ensure_can_create_event(actor, creators)
    event = crud.save(db, Event(**command.model_dump(), created_by=actor.id))
    return _whole(db, event)


def read(db: Database, viewer: User | None, event_id: int) -> Event:
    """Return an event with its sessions, to all; a draft to its team only."""
    return ensure_can_see_event(db, viewer, crud.events.get_with_sessions(db, event_id))


def edit(db: Database, actor: User, event_id: int, command: EventUpdate) -> Event:
    """Change an event; one that is cancelled cancels its live registrations.

    Raises:
        IllegalStatusChange: the event cannot go to that status from where it stands.
        CapacityBelowConfirmed: more places are confirmed than that.
        WaitlistNotEmpty: the waitlist would be switched off with people on it.
        SessionOutsideEvent: the new times would leave sessions outside; ``sessions`` names them.
        InvalidRequest: the new times contradict those that stay.

    """
    event = ensure_can_edit_event(db, actor, crud.events.lock(db, event_id))
    changes = command.model_dump(exclude_unset=True)
    _check_times(db, event, changes)
    _check_capacity(event, changes)
    cancelled = _check_status(event, changes)
    waiting = event.waitlist_count > 0
    if waiting and not cancelled and not changes.get("waitlist_enabled", True):
        raise WaitlistNotEmpty(waitlist_count=event.waitlist_count)
    crud.save(db, event, changes)
    if cancelled:
        crud.registrations.cancel_all(db, event.id)
    elif waiting:
        crud.registrations.promote(db, event.id)
    return _whole(db, event)


def cancel_and_delete(db: Database, actor: User, event_id: int) -> None:
    """Delete an event: its registrations are cancelled and stay in their owners' lists, as it does."""
    event = ensure_can_own_event(db, actor, crud.events.lock(db, event_id))
    crud.soft_delete(db, event, {"status": EventStatus.CANCELLED})
    crud.registrations.cancel_all(db, event.id)


def _whole(db: Database, event: Event) -> Event:
    return crud.events.get_with_sessions(db, event.id) or event


def _check_times(db: Database, event: Event, changes: dict[str, Any]) -> None:
    start_at = changes.get("start_at", event.start_at)
    end_at = changes.get("end_at", event.end_at)
    if end_at <= start_at:
        raise InvalidRequest.at("end_at", "end_at has to be after start_at")
    opens_at = changes.get("registration_opens_at", event.registration_opens_at)
    closes_at = changes.get("registration_closes_at", event.registration_closes_at)
    if opens_at is not None and closes_at is not None and closes_at <= opens_at:
        detail = "registration_closes_at has to be after registration_opens_at"
        raise InvalidRequest.at("registration_closes_at", detail)
    if (start_at, end_at) != (event.start_at, event.end_at):
        outside = crud.sessions.list_outside(db, event.id, start_at, end_at)
        if outside:
            raise SessionOutsideEvent(
                "These times would leave sessions outside the event; 'sessions' names them.",
                sessions=[outline(session) for session in outside],
            )


def _check_capacity(event: Event, changes: dict[str, Any]) -> None:
    if changes.get("capacity_total", event.capacity_total) < event.confirmed_count:
        raise CapacityBelowConfirmed(
            f"{event.confirmed_count} places are confirmed. Choose a capacity of at least that.",
            confirmed=event.confirmed_count,
        )


def _check_status(event: Event, changes: dict[str, Any]) -> bool:
    """Refuse an illegal status, and tell whether the event is cancelled by this change."""
    status = changes.get("status", event.status)
    if not event.may_become(status):
        raise IllegalStatusChange(f"An event that is {event.status} cannot become {status}.")
    back_to_draft = status is EventStatus.DRAFT and event.status is not EventStatus.DRAFT
    if back_to_draft and event.confirmed_count + event.waitlist_count > 0:
        raise IllegalStatusChange(
            "People are registered, so the event cannot be a draft again. Cancel it, or leave it published."
        )
    return status is EventStatus.CANCELLED and event.status is not EventStatus.CANCELLED
