"""Sessions of an event."""

from fastapi import APIRouter, Response, status

from app import services
from app.core.exceptions import (
    AgendaConflict,
    CapacityBelowConfirmed,
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    PreconditionFailed,
    RequestInProgress,
    RoomTaken,
    RoomTooSmall,
    SessionOutsideEvent,
    SpeakerBusy,
    Unauthorized,
    UnknownSpeaker,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.paths import Location, OfEvent, SessionId
from app.dependencies.preconditions import IfMatch
from app.dependencies.views import AnyReader, changed, made
from app.schemas.sessions import (
    OnAgendaConflict,
    SessionCreate,
    SessionRead,
    SessionRescheduled,
    SessionUpdate,
)

router = APIRouter(route_class=OnceRoute, prefix="/sessions", tags=["Sessions"])

CLASHES = (SessionOutsideEvent, RoomTaken, RoomTooSmall, SpeakerBusy, UnknownSpeaker)


@router.get(
    "",
    summary="Sessions of an event",
    response_model=list[SessionRead],
    responses=problems(Unauthorized, NotFound),
)
async def list_sessions(event_id: OfEvent, reader: AnyReader) -> Response:
    """List an event's sessions in time order."""
    return await reader.see(list[SessionRead], services.sessions.list_for_event, event_id)


@router.post(
    "",
    summary="Plan a session",
    response_model=SessionRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(IdempotencyKeyReused, RequestInProgress, Unauthorized, Forbidden, NotFound, *CLASHES),
)
def schedule_session(command: SessionCreate, actor: CurrentUser, db: Db, location: Location) -> Response:
    """Plan a session within its event.

    `room` is a name; an unknown one makes the room. A room holds one session at a time unless it allows
    parallel ones, and a speaker is in one place at a time across all events: `conflicts` names the
    sessions in the way, and `suggestions` up to five times and rooms that would do, nearest first. A session
    may start the moment another ends.
    """
    session = services.sessions.schedule(db, actor, command.event_id, command)
    return made(SessionRead, session, location("read_session", session_id=session.id))


@router.get(
    "/{session_id}",
    summary="One session",
    response_model=SessionRead,
    responses=problems(Unauthorized, NotFound),
)
async def read_session(session_id: SessionId, reader: AnyReader) -> Response:
    """Show a session with its speakers."""
    return await reader.see(SessionRead, services.sessions.read, session_id)


@router.patch(
    "/{session_id}",
    summary="Change a session",
    response_model=SessionRead | SessionRescheduled,
    responses=problems(
        Unauthorized,
        Forbidden,
        NotFound,
        PreconditionFailed,
        AgendaConflict,
        CapacityBelowConfirmed,
        *CLASHES,
    ),
)
def reschedule_session(  # noqa: PLR0913, PLR0917 - each is a part of the request
    session_id: SessionId,
    command: SessionUpdate,
    actor: CurrentUser,
    db: Db,
    expected: IfMatch,
    on_agenda_conflict: OnAgendaConflict = "refuse",
) -> Response:
    """Change what the body names: words, times, room, places or speakers. Refused as planning is.

    Where people with a seat here have another one at the new time, the change is refused: `people` counts
    them, and `conflicts` names those sessions. With `on_agenda_conflict=release` they give up their seats
    here instead, and `released` says who.
    """
    moved = services.sessions.reschedule(db, actor, session_id, command, on_agenda_conflict, expected)
    return changed(SessionRead, moved, told=SessionRead | SessionRescheduled)


@router.delete(
    "/{session_id}",
    summary="Delete a session",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, Forbidden, NotFound, PreconditionFailed),
)
def cancel_session(session_id: SessionId, actor: CurrentUser, db: Db, expected: IfMatch) -> None:
    """Delete a session; its room, its speakers and all who have a seat are free at once."""
    services.sessions.cancel(db, actor, session_id, expected)
