"""Seats: places in sessions, and the agenda that they make."""

from fastapi import APIRouter, Response, status

from app import services
from app.core.exceptions import (
    AgendaConflict,
    AlreadyRegistered,
    IdempotencyKeyReused,
    NotFound,
    NotRegistered,
    NotRegisteredYet,
    RegistrationClosed,
    SessionFull,
    Unauthorized,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.paths import SessionId
from app.dependencies.registrations import AtTheEntrance
from app.dependencies.straight import StraightRoute
from app.dependencies.views import AnyReader
from app.schemas.seats import AgendaEntry, SeatRead

router = APIRouter(prefix="/registrations", tags=["Seats"], route_class=StraightRoute)


@router.post(
    "/sessions/{session_id}",
    summary="Take a seat in a session",
    status_code=status.HTTP_201_CREATED,
    responses=problems(
        Unauthorized,
        NotFound,
        NotRegisteredYet,
        SessionFull,
        AgendaConflict,
        AlreadyRegistered,
        RegistrationClosed,
        IdempotencyKeyReused,
    ),
)
async def take_seat(session_id: SessionId, entrance: AtTheEntrance) -> SeatRead:
    """Take a seat; it needs a confirmed place at the event.

    Nobody has two seats at the same time, of whatever events: `conflicts` names the sessions in the way. A
    session may start the moment another ends. The seat goes with the registration: who cancels that gives
    up both.
    """
    return await entrance.take_seat(session_id)


@router.delete(
    "/sessions/{session_id}",
    summary="Give up my seat",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, NotRegistered),
)
def give_seat_up(session_id: SessionId, actor: CurrentUser, db: Db) -> None:
    """Give the seat up. The place at the event stays."""
    services.seats.give_up(db, actor, session_id)


@router.get(
    "/me/agenda",
    summary="My agenda",
    response_model=list[AgendaEntry],
    responses=problems(Unauthorized),
)
async def list_my_agenda(reader: AnyReader) -> Response:
    """List the sessions in which I have a seat, with their events, in time order."""
    return await reader.own(list[AgendaEntry], services.seats.list_agenda)
