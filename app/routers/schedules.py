"""Schedules as conferences exchange them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from app import services
from app.core.exceptions import (
    ContentTooLarge,
    Forbidden,
    NotFound,
    ScheduleConflict,
    Unauthorized,
    UnsupportedMediaType,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.paths import Address, EventId
from app.dependencies.schedules import ScheduleInBody
from app.dependencies.views import AnyReader
from app.schemas.schedules import EXAMPLE, EXAMPLE_XML, ScheduleImported, ScheduleRead

router = APIRouter(prefix="/events/{event_id}", tags=["Calendars"])

SAME: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed."}}


@router.get(
    "/schedule.json",
    summary="The schedule as JSON",
    response_model=ScheduleRead,
    responses={**SAME, **problems(Unauthorized, NotFound)},
)
async def read_schedule_as_json(event_id: EventId, address: Address, reader: AnyReader) -> Response:
    """Show an event's schedule in the format of frab, which apps and screens at conferences read.

    What the format has and an event has not, such as tracks, is empty. A draft is shown to its team only.
    """
    return await reader.document(services.schedules.as_json, event_id, address)


@router.get(
    "/schedule.xml",
    summary="The schedule as XML",
    response_class=Response,
    responses={
        200: {
            "content": {"application/xml": {"schema": {"type": "string"}}},
            "description": "The schedule.",
        },
        **SAME,
        **problems(Unauthorized, NotFound),
    },
)
async def read_schedule_as_xml(event_id: EventId, address: Address, reader: AnyReader) -> Response:
    """Show an event's schedule in the older of frab's formats; it says the same as the JSON."""
    return await reader.document(services.schedules.as_xml, event_id, address)


@router.post(
    "/schedule",
    summary="Take a schedule in",
    responses=problems(
        Unauthorized, Forbidden, NotFound, ScheduleConflict, ContentTooLarge, UnsupportedMediaType
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": EXAMPLE},
                "application/xml": {"schema": {"type": "string"}, "example": EXAMPLE_XML},
                "text/xml": {"schema": {"type": "string"}, "example": EXAMPLE_XML},
            },
        }
    },
)
def take_schedule_in(
    event_id: EventId,
    schedule: ScheduleInBody,
    actor: CurrentUser,
    db: Db,
    *,
    dry_run: Annotated[bool, Query(description="Change nothing, and answer what would happen.")] = False,
) -> ScheduleImported:
    """Make and change sessions as a schedule in one of frab's formats has them, all or none.

    A session is known by its `guid`, so the same file again changes nothing; one that the file does not
    name stays. Rooms are known by name, people by `guid` or by name among your own speakers; those that
    are missing are made. Two sessions may swap. The description is the abstract and what follows it;
    subtitles, tracks, languages and links have no place here and are passed over.
    """
    return services.schedules.take_in(db, actor, event_id, schedule, dry_run=dry_run)
