"""The tables. Importing this package makes all of them known to the metadata."""

from app.models.api_key import ApiKey
from app.models.audit_entry import AuditEntry
from app.models.base import Base
from app.models.calendar_feed import CalendarFeed
from app.models.check_in import Scan
from app.models.event import Event
from app.models.event_count import EventCount
from app.models.event_word import EventWord
from app.models.idempotency_key import IdempotencyKey
from app.models.registration import Registration
from app.models.room import Room
from app.models.seat import Seat
from app.models.session import Session, session_speakers
from app.models.sign_in import SignIn
from app.models.speaker import Speaker, event_speakers
from app.models.team_member import TeamMember
from app.models.user import User

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Base",
    "CalendarFeed",
    "Event",
    "EventCount",
    "EventWord",
    "IdempotencyKey",
    "Registration",
    "Room",
    "Scan",
    "Seat",
    "Session",
    "SignIn",
    "Speaker",
    "TeamMember",
    "User",
    "event_speakers",
    "session_speakers",
]
