"""Older addresses, kept for a frontend that was written for them. New clients use the others."""

from fastapi import APIRouter, Response, status

from app import services
from app.core.exceptions import Forbidden, IdempotencyKeyReused, NotFound, RequestInProgress, Unauthorized
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.paths import EventId, Location
from app.dependencies.views import AnyReader, made
from app.models import Registration
from app.schemas.registrations import OwnRegistration
from app.schemas.sessions import SessionCreateInPath, SessionRead

router = APIRouter(route_class=OnceRoute, tags=["Aliases"], deprecated=True)


@router.get(
    "/registrations/events",
    summary="My registrations, as an array",
    response_model=list[OwnRegistration],
    responses=problems(Unauthorized),
)
def list_my_registrations_as_array(actor: CurrentUser, db: Db) -> list[Registration]:
    """Use `GET /registrations/me` instead."""
    return services.registrations.list_all_own(db, actor)


@router.get(
    "/sessions/events/{event_id}",
    summary="Sessions of an event, by path",
    response_model=list[SessionRead],
    responses=problems(Unauthorized, NotFound),
)
async def list_sessions_by_path(event_id: EventId, reader: AnyReader) -> Response:
    """Use `GET /sessions?event_id=` instead."""
    return await reader.see(list[SessionRead], services.sessions.list_for_event, event_id)


@router.post(
    "/sessions/events/{event_id}",
    summary="Plan a session, by path",
    response_model=SessionRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(IdempotencyKeyReused, RequestInProgress, Unauthorized, Forbidden, NotFound),
)
def schedule_session_by_path(
    event_id: EventId,
    command: SessionCreateInPath,
    actor: CurrentUser,
    db: Db,
    location: Location,
) -> Response:
    """Use `POST /sessions` instead."""
    session = services.sessions.schedule(db, actor, event_id, command)
    return made(SessionRead, session, location("read_session", session_id=session.id))
