"""Events: made, edited, published, cancelled, deleted."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app import crud
from app.conflicts import outlines, refusal
from app.core.conditional import WHATEVER, Expected
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
from app.core.zones import keep_local, same_local
from app.crud.listings import ask_public
from app.crud.listings import page_public as list_public
from app.crud.moves import Move
from app.models import Event, User
from app.models.constraints import CONSTRAINT_PROBLEMS
from app.models.enums import EventStatus
from app.policies import (
    ensure_can_create_event,
    ensure_can_edit_event,
    ensure_can_own_event,
    ensure_can_see_event,
)
from app.schemas.events import EditQuery, EventCreate, EventUpdate, OwnEventQuery

__all__ = ["ask_public", "cancel_and_delete", "create", "edit", "list_public", "list_run_by", "read"]

AS_SENT = EditQuery()


def list_run_by(db: Database, actor: User, wanted: OwnEventQuery) -> Slice[Event]:
    """Return one page of the events that ``actor`` owns or helps to run, drafts and all."""
    return crud.events.page_run_by(db, actor.id, wanted.paging, status=wanted.status)


def create(db: Database, actor: User, command: EventCreate, creators: EventCreators) -> Any:
    """Make an event, which ``actor`` then owns, and return what is shown of it."""
    ensure_can_create_event(actor, creators)
    event = crud.save(db, Event(**command.model_dump(), created_by=actor.id))
    return crud.events.get_shown(db, event.id)


def read(db: Database, viewer: User | None, event_id: int) -> Any:
    """Return what is shown of an event with its sessions, to all; of a draft to its team only."""
    return ensure_can_see_event(db, viewer, crud.events.get_shown(db, event_id))


def edit(  # noqa: PLR0913, PLR0917 - each is a part of the request
    db: Database,
    actor: User,
    event_id: int,
    command: EventUpdate,
    wanted: EditQuery = AS_SENT,
    expected: Expected = WHATEVER,
) -> Any:
    """Change an event, and return what is shown of it; one that is cancelled cancels its live registrations.

    If ``wanted``, its end and its sessions move as far as its start does, or a new zone leaves what the
    clocks show and moves the instants.

    Raises:
        PreconditionFailed: the event is not the one expected any more.
        IllegalStatusChange: the event cannot go to that status from where it stands.
        CapacityBelowConfirmed: more places are confirmed than that.
        WaitlistNotEmpty: the waitlist would be switched off with people on it.
        SessionOutsideEvent: the new times would leave sessions outside; ``sessions`` names them.
        RoomTaken: sessions that move along would meet in a room; ``conflicts`` names them.
        SpeakerBusy: one would meet a speaker's session of another event; ``conflicts`` names that.
        AgendaConflict: one would meet others in somebody's agenda; ``conflicts`` names those.
        InvalidRequest: the new times contradict those that stay.

    """
    event = ensure_can_edit_event(db, actor, crud.events.lock(db, event_id))
    expected.ensure(event.version)
    changes = command.model_dump(exclude_unset=True)
    moves = _follow(db, event, changes, wanted)
    _check_times(event, changes)
    _check_capacity(event, changes)
    cancelled = _check_status(event, changes)
    waiting = event.waitlist_count > 0
    if waiting and not cancelled and not changes.get("waitlist_enabled", True):
        raise WaitlistNotEmpty(waitlist_count=event.waitlist_count)
    _save(db, actor, event, changes, moves)
    if cancelled:
        crud.registrations.cancel_all(db, event.id)
    elif waiting:
        crud.registrations.promote(db, event.id)
    return crud.events.get_shown(db, event.id)


def cancel_and_delete(db: Database, actor: User, event_id: int, expected: Expected = WHATEVER) -> None:
    """Delete an event: its registrations are cancelled and stay in their owners' lists, as it does.

    What all may see stays in calendars, as cancelled; a draft stays one, which nobody else learns of.
    """
    event = ensure_can_own_event(db, actor, crud.events.lock(db, event_id))
    expected.ensure(event.version)
    crud.soft_delete(db, event, {"status": EventStatus.CANCELLED} if event.is_public else None)
    crud.registrations.cancel_all(db, event.id)


def _follow(db: Database, event: Event, changes: dict[str, Any], wanted: EditQuery) -> list[Move]:
    """Add to ``changes`` the times that follow from them, and return how the sessions move along."""
    zone, new_zone = event.timezone, changes.get("timezone", event.timezone)
    # In its own zone, too, a time that clocks show twice would become the first of the two.
    new_clocks = wanted.keep == "local" and new_zone != zone
    start_at, end_at = event.start_at, event.end_at
    if new_clocks:
        start_at, end_at = keep_local(start_at, end_at, zone, new_zone)
        for name in ("registration_opens_at", "registration_closes_at"):
            moment = getattr(event, name)
            changes.setdefault(name, moment and same_local(moment, zone, new_zone))
    by = changes.get("start_at", start_at) - start_at if wanted.shift_sessions else timedelta()
    if not by and not new_clocks:
        return []
    changes.setdefault("start_at", start_at)
    changes.setdefault("end_at", end_at + by)
    moves = []
    for session in crud.sessions.lock_all(db, event.id).values():
        start_at, end_at = session.start_at, session.end_at
        if new_clocks:
            start_at, end_at = keep_local(start_at, end_at, zone, new_zone)
        moves.append(Move(session, start_at + by, end_at + by, session.room))
    return moves


def _save(db: Database, actor: User, event: Event, changes: dict[str, Any], moves: Sequence[Move]) -> None:
    """Write the changes, and the moves with them, or refuse and name what stands in the way."""
    start_at, end_at = changes.get("start_at", event.start_at), changes.get("end_at", event.end_at)
    if moves:
        violation = crud.moves.try_put_with_event(db, event, changes, moves)
        if violation is None:
            return
        clashes = crud.moves.list_clashes(db, moves, start_at, end_at)
        if not clashes:
            # What stood in the way has gone since.
            raise CONSTRAINT_PROBLEMS[violation]
        raise refusal(db, actor, clashes, crud.moves.imagine(db, event.id, moves))
    if (start_at, end_at) != (event.start_at, event.end_at):
        outside = crud.sessions.list_outside(db, event.id, start_at, end_at)
        if outside:
            raise SessionOutsideEvent(
                "These times would leave sessions outside the event; 'sessions' names them.",
                sessions=outlines(db, actor, outside),
            )
    crud.save(db, event, changes)


def _check_times(event: Event, changes: dict[str, Any]) -> None:
    start_at = changes.get("start_at", event.start_at)
    end_at = changes.get("end_at", event.end_at)
    if end_at <= start_at:
        raise InvalidRequest.at("end_at", "end_at has to be after start_at")
    opens_at = changes.get("registration_opens_at", event.registration_opens_at)
    closes_at = changes.get("registration_closes_at", event.registration_closes_at)
    if opens_at is not None and closes_at is not None and closes_at <= opens_at:
        detail = "registration_closes_at has to be after registration_opens_at"
        raise InvalidRequest.at("registration_closes_at", detail)


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
