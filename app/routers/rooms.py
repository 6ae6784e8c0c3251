"""Rooms of an event."""

from fastapi import APIRouter, Response, status

from app import services
from app.core.exceptions import (
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    PreconditionFailed,
    RequestInProgress,
    RoomInUse,
    RoomNameTaken,
    Unauthorized,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.paths import OfEvent, RoomId
from app.dependencies.preconditions import IfMatch
from app.dependencies.views import AnyReader, changed, made
from app.schemas.rooms import RoomCreate, RoomRead, RoomUpdate

router = APIRouter(route_class=OnceRoute, prefix="/rooms", tags=["Rooms"])


@router.get(
    "",
    summary="Rooms of an event",
    response_model=list[RoomRead],
    responses=problems(Unauthorized, NotFound),
)
async def list_rooms(event_id: OfEvent, reader: AnyReader) -> Response:
    """List an event's rooms by name."""
    return await reader.see(list[RoomRead], services.rooms.list_for_event, event_id)


@router.post(
    "",
    summary="Add a room",
    response_model=RoomRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(
        IdempotencyKeyReused, RequestInProgress, Unauthorized, Forbidden, NotFound, RoomNameTaken
    ),
)
def create_room(command: RoomCreate, actor: CurrentUser, db: Db) -> Response:
    """Add a room to an event. Its name is unique in the event, whatever its case."""
    return made(RoomRead, services.rooms.create(db, actor, command))


@router.patch(
    "/{room_id}",
    summary="Change a room",
    response_model=RoomRead,
    responses=problems(Unauthorized, Forbidden, NotFound, PreconditionFailed, RoomNameTaken, RoomInUse),
)
def edit_room(
    room_id: RoomId, command: RoomUpdate, actor: CurrentUser, db: Db, expected: IfMatch
) -> Response:
    """Change what the body names. Refused, with the sessions that forbid it, if they would not fit."""
    return changed(RoomRead, services.rooms.edit(db, actor, room_id, command, expected))


@router.delete(
    "/{room_id}",
    summary="Delete a room",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, Forbidden, NotFound, PreconditionFailed, RoomInUse),
)
def delete_room(room_id: RoomId, actor: CurrentUser, db: Db, expected: IfMatch) -> None:
    """Delete a room that no session is planned in."""
    services.rooms.delete(db, actor, room_id, expected)
