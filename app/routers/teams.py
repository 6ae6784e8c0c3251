"""The people who run an event."""

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import (
    AlreadyOnTeam,
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    RequestInProgress,
    Unauthorized,
    UnknownAccount,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.paths import EventId, UserId
from app.schemas.teams import TeamMemberCreate, TeamMemberRead

router = APIRouter(route_class=OnceRoute, prefix="/events/{event_id}/team", tags=["Events"])


@router.get(
    "",
    summary="Who runs an event",
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def list_team(event_id: EventId, actor: CurrentUser, db: Db) -> list[TeamMemberRead]:
    """List the owner and the team, to the team."""
    return services.teams.list_members(db, actor, event_id)


@router.post(
    "",
    summary="Add to the team",
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(
        IdempotencyKeyReused,
        RequestInProgress,
        Unauthorized,
        Forbidden,
        NotFound,
        UnknownAccount,
        AlreadyOnTeam,
    ),
)
def add_to_team(event_id: EventId, command: TeamMemberCreate, actor: CurrentUser, db: Db) -> TeamMemberRead:
    """Give someone with an account a part in running the event, as its owner.

    A `MANAGER` may do all that the owner may, except delete the event or change its team. `STAFF` see the
    team and the attendees and check them in.
    """
    return services.teams.add_member(db, actor, event_id, command)


@router.delete(
    "/{user_id}",
    summary="Remove from the team",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def remove_from_team(event_id: EventId, user_id: UserId, actor: CurrentUser, db: Db) -> None:
    """Take someone off the team, as the event's owner."""
    services.teams.remove_member(db, actor, event_id, user_id)
