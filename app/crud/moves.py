"""Many sessions moved at once: what would clash, found in one statement, and the move itself in another.

Both are put together once, here, in SQL as it is: for the first, what overlaps is an island of ranges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text, update
from sqlalchemy.orm.attributes import set_committed_value

from app.core.database import Database
from app.crud import rooms
from app.crud.records import attempt, save
from app.crud.sessions import Attempt, hold
from app.models import Event, Room, Session
from app.models.constraints import AGENDA_CONFLICT, INSIDE_EVENT, ROOM_TAKEN, ROOM_TOO_SMALL, SPEAKER_BUSY


@dataclass(frozen=True, slots=True)
class Move:
    """Where and when a session is to be; ``room`` is a name."""

    session: Session
    start_at: datetime
    end_at: datetime
    room: str | None


@dataclass(frozen=True, slots=True)
class Clash:
    """Sessions that break a constraint together, and for how many rooms, speakers or attendees."""

    constraint: str
    session_ids: Sequence[int]
    holders: int


_MOVES = """
    unnest(
        CAST(:sessions AS integer[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]),
        CAST(:rooms AS text[])
    ) AS move (session_id, start_at, end_at, room)
"""

# Each holder (a room, a speaker, an attendee) has the sessions that move as planned, and of the others those
# that they meet. A session that begins before all earlier ones of its holder are over is on their island.
_CLASHES = text(f"""
WITH plan AS (
    SELECT
        move.session_id, move.start_at, move.end_at, lower(move.room) AS room, rooms.id AS room_id, seats,
        COALESCE(allow_parallel, false) AS parallel, COALESCE(capacity_total, seats_taken) AS places,
        CASE WHEN event_is_live THEN tstzrange(move.start_at, move.end_at, '[)') ELSE 'empty' END AS during
    FROM {_MOVES} JOIN sessions ON sessions.id = move.session_id
    LEFT JOIN rooms ON rooms.event_id = sessions.event_id AND lower(rooms.name) = lower(move.room)
), held (rule, holder, session_id, during) AS (
    SELECT '{ROOM_TAKEN}', room, session_id, during FROM plan WHERE room IS NOT NULL AND NOT parallel
    UNION ALL
    SELECT '{ROOM_TAKEN}', plan.room, sessions.id, sessions.during
    FROM plan JOIN sessions USING (room_id)
    WHERE NOT parallel AND sessions.during && plan.during AND sessions.id NOT IN (SELECT session_id FROM plan)
    UNION ALL
    SELECT '{SPEAKER_BUSY}', CAST(speaker_id AS text), session_id, plan.during
    FROM plan JOIN session_speakers USING (session_id)
    UNION ALL
    SELECT '{SPEAKER_BUSY}', CAST(speaker_id AS text), other.session_id, other.during
    FROM plan JOIN session_speakers AS own USING (session_id)
    JOIN session_speakers AS other USING (speaker_id)
    WHERE other.during && plan.during AND other.session_id NOT IN (SELECT session_id FROM plan)
    UNION ALL
    SELECT '{AGENDA_CONFLICT}', CAST(user_id AS text), session_id, plan.during
    FROM plan JOIN seats USING (session_id)
    WHERE given_up_at IS NULL
    UNION ALL
    SELECT '{AGENDA_CONFLICT}', CAST(user_id AS text), other.session_id, other.during
    FROM plan JOIN seats AS own USING (session_id) JOIN seats AS other USING (user_id)
    WHERE own.given_up_at IS NULL AND other.given_up_at IS NULL
        AND other.during && plan.during AND other.session_id NOT IN (SELECT session_id FROM plan)
), met AS (
    SELECT DISTINCT rule, holder, session_id, during FROM held WHERE NOT isempty(during)
), shores AS (
    SELECT *, lower(during) >= max(upper(during)) OVER (
        PARTITION BY rule, holder ORDER BY lower(during), session_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS begins
    FROM met
), islands AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (
        PARTITION BY rule, holder ORDER BY lower(during), session_id
    ) AS island
    FROM shores
), clashes AS (
    SELECT rule, holder, array_agg(session_id ORDER BY session_id) AS session_ids
    FROM islands GROUP BY rule, holder, island HAVING count(*) > 1
)
SELECT rule, session_ids, count(*) FROM clashes GROUP BY rule, session_ids
UNION ALL
SELECT '{INSIDE_EVENT}', ARRAY[session_id], 1 FROM plan WHERE start_at < :opens_at OR end_at > :closes_at
UNION ALL
SELECT '{ROOM_TOO_SMALL}', ARRAY[session_id], 1 FROM plan WHERE places > seats
ORDER BY 2, 1
""")  # noqa: S608 - made of constants

_PUT = text(f"""
UPDATE sessions
SET start_at = move.start_at, end_at = move.end_at,
    room_id = rooms.id, room_parallel = rooms.allow_parallel, room_seats = rooms.seats,
    version = sessions.version + 1, updated_at = now()
FROM {_MOVES} LEFT JOIN rooms ON rooms.event_id = :event_id AND lower(rooms.name) = lower(move.room)
WHERE sessions.id = move.session_id
    AND (sessions.start_at, sessions.end_at, sessions.room_id)
        IS DISTINCT FROM (move.start_at, move.end_at, rooms.id)
""")  # noqa: S608 - made of constants


def list_clashes(db: Database, moves: Sequence[Move], opens_at: datetime, closes_at: datetime) -> list[Clash]:
    """Return all that would clash if the sessions of an event that lasts from then to then moved together."""
    found = db.execute(_CLASHES, {**_arrays(moves), "opens_at": opens_at, "closes_at": closes_at})
    return [Clash(*row) for row in found]


def try_put(db: Database, event_id: int, moves: Sequence[Move]) -> str | None:
    """Move sessions all at once, into rooms that are made if need be, or return a constraint that refuses it.

    In between they may stand in each other's way: what holds at the end counts.
    """
    return attempt(db, lambda: _put(db, event_id, moves))


def try_put_with_event(
    db: Database, event: Event, changes: Mapping[str, Any], moves: Sequence[Move]
) -> str | None:
    """Change an event and move its sessions with it, or return a constraint that refuses it.

    Its window is widened first, to hold them before and after, and is as it should be at the end.
    """
    start_at, end_at = changes.get("start_at", event.start_at), changes.get("end_at", event.end_at)

    def put() -> None:
        wide = {"start_at": min(event.start_at, start_at), "end_at": max(event.end_at, end_at)}
        widened = update(Event).where(Event.id == event.id).values(wide)
        db.execute(widened, execution_options={"synchronize_session": False})
        _put(db, event.id, moves)
        save(db, event, changes)

    return attempt(db, put)


def imagine(db: Database, event_id: int, moves: Sequence[Move]) -> dict[int, Session]:
    """Return the sessions, by id, as they would be: objects that the database knows nothing of any more."""
    named = rooms.map_by_name(db, event_id, [move.room for move in moves if move.room])
    imagined = {}
    for move in moves:
        session = move.session
        room = named.get(move.room, Room(name=move.room)) if move.room else None
        db.expunge(session)
        session.start_at, session.end_at = move.start_at, move.end_at
        for name, value in Room.copies(room).items():
            setattr(session, name, value)
        set_committed_value(session, "place", room)
        imagined[session.id] = session
    return imagined


def _put(db: Database, event_id: int, moves: Sequence[Move]) -> None:
    named = rooms.map_or_make(db, event_id, [move.room for move in moves if move.room])
    planned = [
        Attempt(
            session_id=move.session.id,
            start_at=move.start_at,
            end_at=move.end_at,
            room_id=named[move.room].id if move.room else None,
            speaker_ids=None,
        )
        for move in moves
    ]
    hold(db, *planned)
    db.execute(text("SET CONSTRAINTS ALL DEFERRED"))
    db.execute(_PUT, {**_arrays(moves), "event_id": event_id})
    db.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))


def _arrays(moves: Sequence[Move]) -> dict[str, Any]:
    return {
        "sessions": [move.session.id for move in moves],
        "starts": [move.start_at for move in moves],
        "ends": [move.end_at for move in moves],
        "rooms": [move.room for move in moves],
    }
