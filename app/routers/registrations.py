"""Registrations: places at events."""

from typing import Annotated

from fastapi import APIRouter, status
from starlette.responses import Response, StreamingResponse

from app import services
from app.core.exceptions import (
    AlreadyCheckedIn,
    AlreadyRegistered,
    EventFull,
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    NotRegistered,
    RegistrationClosed,
    Unauthorized,
)
from app.core.exports import csv_response
from app.core.pagination import Slice
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db, StoreForDownload
from app.dependencies.pages import paged
from app.dependencies.paths import EventId, RegistrationId
from app.dependencies.registrations import AtTheEntrance
from app.dependencies.straight import StraightRoute
from app.dependencies.views import AnyReader
from app.models import Registration
from app.schemas.pages import Page
from app.schemas.registrations import (
    AttendeeQuery,
    AttendeeRead,
    OwnRegistration,
    OwnRegistrationQuery,
    RegistrationMade,
    RegistrationRead,
)

router = APIRouter(tags=["Registrations"], route_class=StraightRoute)


@router.post(
    "/registrations/events/{event_id}",
    summary="Register for an event",
    status_code=status.HTTP_201_CREATED,
    responses=problems(
        Unauthorized,
        NotFound,
        EventFull,
        AlreadyRegistered,
        RegistrationClosed,
        IdempotencyKeyReused,
    ),
)
async def register(event_id: EventId, entrance: AtTheEntrance) -> RegistrationMade:
    """Take a place. Once this answers 201 the place is yours, whatever happens to the service.

    A full event with a waitlist answers 201 too, with `status` `WAITLISTED` and your position.

    `overlaps` names other events at the same time where you have a place.
    """
    return await entrance.apply(event_id)


@router.delete(
    "/registrations/events/{event_id}",
    summary="Cancel my registration",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, NotRegistered, AlreadyCheckedIn, RegistrationClosed),
)
def cancel_registration(event_id: EventId, actor: CurrentUser, db: Db) -> None:
    """Give the place back. Registering again later is a new registration."""
    services.registrations.cancel(db, actor, event_id)


@router.get(
    "/registrations/me",
    summary="My registrations",
    response_model=Page[OwnRegistration],
    responses=problems(Unauthorized),
)
def list_my_registrations(
    wanted: Annotated[OwnRegistrationQuery, paged(OwnRegistrationQuery)], actor: CurrentUser, db: Db
) -> Slice[Registration]:
    """List my registrations with their events, newest first, cancelled ones too."""
    return services.registrations.list_own(db, actor, wanted)


@router.get(
    "/registrations/{registration_id}",
    summary="One registration",
    response_model=RegistrationRead,
    responses=problems(Unauthorized, NotFound),
)
async def read_registration(registration_id: RegistrationId, reader: AnyReader) -> Response:
    """Show a registration to whose it is and to those who run the event."""
    return await reader.own(RegistrationRead, services.registrations.read, registration_id)


@router.get(
    "/registrations/{registration_id}/ticket.svg",
    summary="A ticket as a QR code",
    response_class=Response,
    responses={
        200: {
            "content": {"image/svg+xml": {"schema": {"type": "string"}}},
            "description": "The ticket's code as a QR code.",
        },
        **problems(Unauthorized, NotFound),
    },
)
def show_ticket(registration_id: RegistrationId, actor: CurrentUser, db: Db) -> Response:
    """Draw the code that is scanned at the door, for whose it is and for those who run the event."""
    image = services.registrations.draw_ticket(db, actor, registration_id)
    return Response(image, media_type="image/svg+xml")


@router.get(
    "/events/{event_id}/registrations",
    summary="Attendees of an event",
    response_model=Page[AttendeeRead],
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def list_attendees(
    event_id: EventId,
    wanted: Annotated[AttendeeQuery, paged(AttendeeQuery)],
    actor: CurrentUser,
    db: Db,
) -> Slice[Registration]:
    """List an event's registrations in the order of acceptance, to those who run it."""
    return services.registrations.list_attendees(db, actor, event_id, wanted)


@router.get(
    "/events/{event_id}/registrations.csv",
    summary="Attendees as CSV",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/csv": {"schema": {"type": "string"}}},
            "description": "All registrations.",
        },
        **problems(Unauthorized, Forbidden, NotFound),
    },
)
def export_attendees(
    event_id: EventId, store: StoreForDownload, actor: CurrentUser, db: Db
) -> StreamingResponse:
    """Download all of an event's registrations, to those who run it."""
    return csv_response(store, services.registrations.export_attendees(db, actor, event_id))
