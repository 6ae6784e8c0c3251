"""Sessions moved together: all of them or none."""

from app import crud
from app.conflicts import describe
from app.core.database import Database
from app.core.exceptions import InvalidRequest, ScheduleConflict, UnknownSession
from app.crud.moves import Move
from app.models import Session, User
from app.models.constraints import CONSTRAINT_PROBLEMS
from app.policies import ensure_can_edit_event
from app.schemas.moves import SessionMove, SessionMoves, SessionsMoved


def move(db: Database, actor: User, plan: SessionMoves, *, dry_run: bool) -> SessionsMoved:
    """Move sessions of an event all at once, so that they may change places; or say what would happen.

    Raises:
        UnknownSession: the event has no such session; ``session_ids`` names them.
        InvalidRequest: a session would end before it starts.
        ScheduleConflict: the sessions cannot stand like that; ``conflicts`` has everything in the way.

    """
    event = ensure_can_edit_event(db, actor, crud.events.lock_window(db, plan.event_id))
    ids = [asked.session_id for asked in plan.moves]
    sessions = crud.sessions.lock_all(db, event.id, ids)
    unknown = sorted(set(ids).difference(sessions))
    if unknown:
        raise UnknownSession(session_ids=unknown)
    moves = [_move(sessions[asked.session_id], asked, place) for place, asked in enumerate(plan.moves)]
    violation = None if dry_run else crud.moves.try_put(db, event.id, moves)
    if violation is None and not dry_run:
        return SessionsMoved(sessions=crud.sessions.list_by_ids(db, ids), conflicts=[])
    clashes = crud.moves.list_clashes(db, moves, event.start_at, event.end_at)
    planned = crud.moves.imagine(db, event.id, moves)
    conflicts = describe(db, actor, clashes, planned)
    if violation is None:
        in_order = sorted(planned.values(), key=lambda session: (session.start_at, session.id))
        return SessionsMoved(sessions=in_order, conflicts=conflicts)
    if not conflicts:
        # What stood in the way has gone since.
        raise CONSTRAINT_PROBLEMS[violation]
    raise ScheduleConflict(conflicts=conflicts)


def _move(session: Session, asked: SessionMove, place: int) -> Move:
    changes = asked.model_dump(exclude_unset=True)
    start_at = changes.get("start_at", session.start_at)
    end_at = changes.get("end_at", session.end_at + (start_at - session.start_at))
    if end_at <= start_at:
        raise InvalidRequest.at(f"moves/{place}/end_at", "end_at has to be after start_at")
    return Move(session, start_at, end_at, changes.get("room", session.room))
