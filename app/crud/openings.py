"""Where a session would fit: the gaps that its room and its people leave, computed by the database.

The statement is put together once, here, in SQL as it is: it is arithmetic with ranges.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from app.core.database import Database
from app.crud.sessions import Attempt
from app.models import Event

MOST = 5
ANYWHERE = 3


@dataclass(frozen=True, slots=True)
class Opening:
    """A time and a room's name."""

    start_at: datetime
    end_at: datetime
    room: str | None


# Lengths are made of seconds alone: a day is not always 24 hours where the server's zone changes its clocks.
_NEAREST = text("""
WITH wanted AS (
    SELECT
        tstzrange(:opens_at, :closes_at, '[)') AS event_time,
        tstzrange(:start_at, :end_at, '[)') AS during,
        make_interval(secs => :seconds) AS length
), busy AS (
    SELECT session_speakers.during
    FROM wanted CROSS JOIN session_speakers
    WHERE session_id IS DISTINCT FROM CAST(:session_id AS integer)
        AND session_speakers.during && event_time
        AND speaker_id IN (
            SELECT unnest(CAST(:speaker_ids AS integer[]))
            UNION ALL
            SELECT speaker_id FROM session_speakers
            WHERE session_id = :session_id AND CAST(:speaker_ids AS integer[]) IS NULL
        )
    UNION ALL
    SELECT other.during
    FROM wanted CROSS JOIN seats AS own JOIN seats AS other USING (user_id)
    WHERE own.session_id = :session_id AND own.given_up_at IS NULL
        AND other.session_id <> own.session_id AND other.given_up_at IS NULL
        AND other.during && event_time
), people AS (
    SELECT tstzmultirange(event_time) - COALESCE(range_agg(busy.during), '{}') AS free
    FROM wanted LEFT JOIN busy ON true GROUP BY event_time
), places AS (
    SELECT rooms.id, name, seats, COALESCE(range_agg(sessions.during), '{}') AS taken
    FROM rooms LEFT JOIN sessions ON room_id = rooms.id AND NOT room_parallel
        AND sessions.id IS DISTINCT FROM CAST(:session_id AS integer)
    WHERE rooms.event_id = :event_id AND seats >= :places AND CAST(:room_id AS integer) IS NOT NULL
    GROUP BY rooms.id
    UNION ALL
    SELECT NULL, NULL, 0, '{}' WHERE CAST(:room_id AS integer) IS NULL
), gaps AS (
    SELECT places.id, name, seats, unnest(free - taken) AS gap FROM people CROSS JOIN places
), openings AS (
    SELECT
        id IS NOT DISTINCT FROM CAST(:room_id AS integer) AS as_wanted, name, seats,
        GREATEST(lower(gap), LEAST(lower(during), upper(gap) - length)) AS start_at,
        length, lower(during) AS wanted_at
    FROM gaps CROSS JOIN wanted
    WHERE upper(gap) - lower(gap) >= length
), ranked AS (
    SELECT *, row_number() OVER (
        ORDER BY abs(extract(epoch FROM start_at - wanted_at)), as_wanted DESC, seats, name, start_at
    ) AS place
    FROM openings
), chosen AS (
    SELECT * FROM ranked ORDER BY NOT as_wanted AND place > :anywhere, place LIMIT :most
)
SELECT start_at, start_at + length AS end_at, name FROM chosen ORDER BY place
""")


def list_nearest(db: Database, event: Event, planned: Attempt) -> list[Opening]:
    """Return where and when ``planned`` could be instead, nearest first.

    Its people are its speakers and those who have a seat in it; a room has to hold as many as it must. The
    three nearest are in whatever room, the same time elsewhere before all; after them come those in the room
    that it is planned in, and others only where these are too few.
    """
    found = db.execute(
        _NEAREST,
        {
            "event_id": event.id,
            "opens_at": event.start_at,
            "closes_at": event.end_at,
            "session_id": planned.session_id,
            "start_at": planned.start_at,
            "end_at": planned.end_at,
            "seconds": (planned.end_at - planned.start_at).total_seconds(),
            "room_id": planned.room_id,
            "places": planned.places,
            "speaker_ids": None if planned.speaker_ids is None else list(planned.speaker_ids),
            "anywhere": ANYWHERE,
            "most": MOST,
        },
    )
    return [Opening(*row) for row in found]
