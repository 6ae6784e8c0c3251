"""Registrations."""

from dataclasses import dataclass

from pydantic import Field

from app.core.security import Credential
from app.models.enums import RegistrationStatus
from app.schemas.events import EventSummary
from app.schemas.fields import Output, Search, Utc
from app.schemas.idempotency import RequestKey, Slot
from app.schemas.pages import PageQuery
from app.schemas.users import UserBrief


@dataclass(frozen=True, slots=True)
class Application:
    """Somebody's wish, before it is decided: a place at an event, or a seat in a session."""

    claims: Credential
    wanted_id: int
    key: RequestKey | None = None

    @property
    def slot(self) -> Slot | None:
        """Name where the answer to the application's key is kept."""
        return None if self.key is None else self.key.slot(self.claims.uid)


class RegistrationRead(Output):
    """One person's claim to a place at one event."""

    id: int
    event_id: int
    user_id: int
    status: RegistrationStatus
    waitlist_position: int | None = Field(description="From 1, the head of the waitlist; null off it.")
    ticket_code: str = Field(description="What is shown at the door; nobody can guess it.")
    created_at: Utc
    checked_in_at: Utc | None


class RegistrationMade(RegistrationRead):
    """A new registration, with what else this person has at that time."""

    overlaps: list[int] = Field(description="Other events at the same time where this person has a place.")


class OwnRegistration(RegistrationRead):
    """A registration as its owner sees it."""

    event: EventSummary


class AttendeeRead(RegistrationRead):
    """A registration as those who run the event see it."""

    user: UserBrief


class OwnRegistrationQuery(PageQuery):
    """Which of my registrations a list keeps."""

    status: RegistrationStatus | None = None


class AttendeeQuery(PageQuery):
    """Which attendees a list keeps."""

    status: RegistrationStatus | None = None
    search: Search | None = Field(None, description="Part of the email or the name.")
