"""What stands in the way, told to whoever asked: in full as far as they may see it, else by its times."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.core.database import Database
from app.core.exceptions import Problem
from app.crud import sessions as crud
from app.crud.moves import Clash
from app.models import Session, User
from app.models.constraints import (
    AGENDA_CONFLICT,
    CONSTRAINT_PROBLEMS,
    INSIDE_EVENT,
    ROOM_TAKEN,
    ROOM_TOO_SMALL,
    SPEAKER_BUSY,
)
from app.policies import list_visible_sessions
from app.schemas.sessions import outline

WORST_FIRST = (INSIDE_EVENT, ROOM_TOO_SMALL, ROOM_TAKEN, SPEAKER_BUSY, AGENDA_CONFLICT)


def outlines(db: Database, viewer: User, sessions: Sequence[Session]) -> list[dict[str, Any]]:
    """Describe sessions that stand in the way of what ``viewer`` asks."""
    visible = list_visible_sessions(db, viewer, sessions)
    return [outline(session, visible=session.id in visible) for session in sessions]


def describe(
    db: Database, viewer: User, clashes: Sequence[Clash], planned: Mapping[int, Session]
) -> list[dict[str, Any]]:
    """Describe each of ``clashes``: its kind, the sessions as they are planned, and those in the way."""
    others = _others(
        db, viewer, (key for clash in clashes for key in clash.session_ids if key not in planned)
    )
    return [
        {
            "kind": CONSTRAINT_PROBLEMS[clash.constraint].slug(),
            "sessions": [outline(planned[key]) for key in clash.session_ids if key in planned],
            "conflicts": [others[key] for key in clash.session_ids if key in others],
            "people": clash.holders if clash.constraint == AGENDA_CONFLICT else None,
        }
        for clash in clashes
    ]


def refusal(db: Database, viewer: User, clashes: Sequence[Clash], planned: Mapping[int, Session]) -> Problem:
    """Return the refusal that the worst of ``clashes`` stands for."""
    worst = min((clash.constraint for clash in clashes), key=WORST_FIRST.index)
    told = describe(db, viewer, [clash for clash in clashes if clash.constraint == worst], planned)
    named = "sessions" if worst == INSIDE_EVENT else "conflicts"
    members: dict[str, Any] = {named: _each_once(one[named] or one["sessions"] for one in told)}
    if worst == AGENDA_CONFLICT:
        members["people"] = sum(one["people"] for one in told)
    return CONSTRAINT_PROBLEMS[worst](**members)


def _others(db: Database, viewer: User, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    sessions = crud.list_by_ids(db, set(ids))
    return dict(zip((session.id for session in sessions), outlines(db, viewer, sessions), strict=True))


def _each_once(told: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for sessions in told:
        found += [session for session in sessions if session not in found]
    return found
