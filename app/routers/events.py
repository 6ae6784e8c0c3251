"""Events and those who run them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from app import services
from app.core.exceptions import (
    AgendaConflict,
    CapacityBelowConfirmed,
    Forbidden,
    IdempotencyKeyReused,
    IllegalStatusChange,
    NotFound,
    PreconditionFailed,
    RequestInProgress,
    RoomTaken,
    SessionOutsideEvent,
    SpeakerBusy,
    Unauthorized,
    WaitlistNotEmpty,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.pages import paged
from app.dependencies.paths import EventId, Location
from app.dependencies.preconditions import IfMatch
from app.dependencies.settings import AppSettings
from app.dependencies.views import AnyReader, changed, made
from app.schemas.events import (
    EditQuery,
    EventCreate,
    EventQuery,
    EventRead,
    EventSummary,
    EventUpdate,
)
from app.schemas.pages import Page

router = APIRouter(route_class=OnceRoute, prefix="/events", tags=["Events"])


@router.get(
    "",
    summary="Find events",
    response_model=Page[EventSummary],
    responses=problems(Unauthorized),
)
async def list_events(wanted: Annotated[EventQuery, paged(EventQuery)], reader: AnyReader) -> Response:
    """List the published events, soonest first unless `sort` says otherwise.

    `search` finds part of a name in whatever case; `from` and `to` keep what overlaps that time.
    """
    return await reader.list(
        Page[EventSummary], services.events.list_public, wanted, asks=services.events.ask_public
    )


@router.post(
    "",
    summary="Create an event",
    response_model=EventRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(IdempotencyKeyReused, RequestInProgress, Unauthorized, Forbidden),
)
def create_event(
    command: EventCreate,
    actor: CurrentUser,
    db: Db,
    settings: AppSettings,
    location: Location,
) -> Response:
    """Make an event and own it. It is open for registration at once unless `status` is `DRAFT`."""
    event = services.events.create(db, actor, command, settings.event_creators)
    return made(EventRead, event, location("read_event", event_id=event.id))


@router.get(
    "/{event_id}",
    summary="One event",
    response_model=EventRead,
    responses=problems(Unauthorized, NotFound),
)
async def read_event(event_id: EventId, reader: AnyReader) -> Response:
    """Show an event with its sessions in time order. A draft is shown to its team only."""
    return await reader.see(EventRead, services.events.read, event_id)


@router.patch(
    "/{event_id}",
    summary="Change an event",
    response_model=EventRead,
    responses=problems(
        Unauthorized,
        Forbidden,
        NotFound,
        PreconditionFailed,
        IllegalStatusChange,
        CapacityBelowConfirmed,
        SessionOutsideEvent,
        RoomTaken,
        SpeakerBusy,
        AgendaConflict,
        WaitlistNotEmpty,
    ),
)
def edit_event(  # noqa: PLR0913, PLR0917 - each is a part of the request
    event_id: EventId,
    command: EventUpdate,
    wanted: Annotated[EditQuery, Query()],
    actor: CurrentUser,
    db: Db,
    expected: IfMatch,
) -> Response:
    """Change what the body names; the rest stays.

    The status goes from `DRAFT` to `PUBLISHED` to `FINISHED` or `CANCELLED`; back to `DRAFT` only while
    nobody is registered. Cancelling an event cancels its registrations.

    With `shift_sessions` a new `start_at` takes the sessions along. A new `timezone` decides only how times
    are shown, unless `keep` is `local`: then the event, its sessions and its registration window stay at the
    same time of day in the new zone.
    """
    return changed(EventRead, services.events.edit(db, actor, event_id, command, wanted, expected))


@router.delete(
    "/{event_id}",
    summary="Delete an event",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, Forbidden, NotFound, PreconditionFailed),
)
def delete_event(event_id: EventId, actor: CurrentUser, db: Db, expected: IfMatch) -> None:
    """Delete an event, as its owner. Registrations are cancelled and stay in their owners' lists."""
    services.events.cancel_and_delete(db, actor, event_id, expected)
