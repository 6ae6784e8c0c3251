"""Seats in sessions, and the agendas that they make."""

from app.schemas.events import EventBrief
from app.schemas.fields import Output, Utc
from app.schemas.sessions import SessionRead


class SeatRead(Output):
    """One person's seat in one session."""

    id: int
    session_id: int
    event_id: int
    user_id: int
    created_at: Utc


class AgendaEntry(SessionRead):
    """A session in which somebody has a seat."""

    event: EventBrief
