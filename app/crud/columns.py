"""What answers show of events and sessions, as columns: no object is made of what is only printed."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import JSON, ColumnElement, FromClause, ScalarSelect, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.models import Event, Room, Session, Speaker, session_speakers
from app.models.enums import EventStatus
from app.models.room import UNLIMITED
from app.schemas.events import EventSummary
from app.schemas.sessions import SessionRead
from app.schemas.speakers import SpeakerRead

EVENTS, SESSIONS, ROOMS, SPEAKERS = (kind.__table__ for kind in (Event, Session, Room, Speaker))


def _shown(table: FromClause, names: Iterable[str], computed: Mapping[str, ColumnElement[Any]]) -> list[Any]:
    return [computed[name].label(name) if name in computed else table.c[name] for name in names]


def _array(columns: Iterable[Any], *order: Any) -> ColumnElement[Any]:
    """Write rows as a JSON array of objects, in an order."""
    pairs = (part for column in columns for part in (column.key, column))
    objects = aggregate_order_by(func.json_build_object(*pairs), *order)
    return func.coalesce(func.json_agg(objects), literal([], JSON))


SPEAKER = _shown(SPEAKERS, SpeakerRead.model_fields, {})

_speakers: ScalarSelect[Any] = (
    select(_array(SPEAKER, SPEAKERS.c.full_name, SPEAKERS.c.id))
    .join_from(session_speakers, SPEAKERS)
    .where(session_speakers.c.session_id == SESSIONS.c.id)
    .correlate(SESSIONS)
    .scalar_subquery()
)
_places = func.coalesce(SESSIONS.c.capacity_total, func.nullif(SESSIONS.c.room_seats, UNLIMITED))

SESSION = _shown(
    SESSIONS,
    SessionRead.model_fields,
    {
        "room": ROOMS.c.name,
        "capacity_total": _places,
        "capacity_available": _places - SESSIONS.c.seats_taken,
        "speakers": _speakers,
    },
)

_sessions: ScalarSelect[Any] = (
    select(_array(SESSION, SESSIONS.c.start_at, SESSIONS.c.id))
    .join_from(SESSIONS, ROOMS, ROOMS.c.id == SESSIONS.c.room_id, isouter=True)
    .where(SESSIONS.c.event_id == EVENTS.c.id, SESSIONS.c.deleted_at.is_(None))
    .correlate(EVENTS)
    .scalar_subquery()
)

EVENT = _shown(
    EVENTS,
    EventSummary.model_fields,
    {"capacity_available": EVENTS.c.capacity_total - EVENTS.c.confirmed_count},
)
WHOLE_EVENT = [
    *EVENT,
    EVENTS.c.version,
    (EVENTS.c.status != EventStatus.DRAFT).label("is_public"),
    _sessions.label("sessions"),
]
"""An event with its sessions, and what policies ask about it."""
