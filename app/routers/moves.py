"""Sessions moved together."""

from typing import Annotated

from fastapi import APIRouter, Query

from app import services
from app.core.exceptions import Forbidden, NotFound, ScheduleConflict, Unauthorized, UnknownSession
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.schemas.moves import SessionMoves, SessionsMoved

router = APIRouter(prefix="/sessions/moves", tags=["Sessions"])

DryRun = Annotated[bool, Query(description="Say what would happen, and change nothing.")]


@router.post(
    "",
    summary="Move sessions together",
    responses=problems(Unauthorized, Forbidden, NotFound, ScheduleConflict, UnknownSession),
)
def move_sessions(
    plan: SessionMoves, actor: CurrentUser, db: Db, *, dry_run: DryRun = False
) -> SessionsMoved:
    """Move up to 1,000 sessions of an event, all or none. Only how they stand at the end counts.

    So two sessions can swap, and five go round. `conflicts` has everything that stands in the way: sessions
    that would meet in a room, with a speaker or in somebody's agenda, that would be too many for their room,
    or outside the event. With `dry_run` the answer is 200 with that list, and nothing has changed.
    """
    return services.moves.move(db, actor, plan, dry_run=dry_run)
