"""Calendars to subscribe to."""

from typing import Any

from fastapi import APIRouter, status
from starlette.responses import Response

from app import services
from app.core.documents import document_response
from app.core.exceptions import NotForKeys, NotFound, Unauthorized
from app.core.problems import problems
from app.dependencies.auth import CurrentUser, InPerson
from app.dependencies.database import Db
from app.dependencies.paths import Address, EventId
from app.dependencies.straight import StraightRoute
from app.dependencies.views import AnyReader, KnownTag
from app.schemas.calendars import CalendarFeedRead

router = APIRouter(route_class=StraightRoute, tags=["Calendars"])

CALENDAR: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/calendar": {"schema": {"type": "string"}}},
        "description": "The calendar (RFC 5545), with its `ETag`.",
    },
    304: {"description": "Nothing has changed."},
}


@router.get(
    "/events/{event_id}/calendar.ics",
    summary="The calendar of an event",
    response_class=Response,
    responses={**CALENDAR, **problems(Unauthorized, NotFound)},
)
async def read_event_calendar(event_id: EventId, reader: AnyReader) -> Response:
    """Subscribe to an event's sessions, shown in the event's time zone.

    Those that were deleted, and all of an event that was cancelled or deleted, are there as cancelled. An
    event without sessions is one entry. A draft is shown to its team only.
    """
    return await reader.document(services.calendars.of_event, event_id)


@router.post(
    "/users/me/calendar",
    summary="An address for my calendar",
    status_code=status.HTTP_201_CREATED,
    dependencies=[InPerson],
    responses=problems(Unauthorized, NotForKeys),
)
def open_calendar(actor: CurrentUser, db: Db, address: Address) -> CalendarFeedRead:
    """Make a secret address at which calendar programs read my calendar. It ends the one made before.

    The address is all that is asked for there, so keep it to yourself. It is shown this once.
    """
    return services.calendars.open_feed(db, actor, address)


@router.get(
    "/calendars/{token}.ics",
    summary="Somebody's calendar",
    response_class=Response,
    responses={**CALENDAR, **problems(NotFound)},
)
def read_calendar(token: str, db: Db, known: KnownTag = None) -> Response:
    """Subscribe to one's own calendar: the sessions one has a seat in, and the events one goes to.

    An event that one waits for is tentative. What was given up or cancelled is there as cancelled.
    """
    return document_response(services.calendars.of_owner(db, token), known)
