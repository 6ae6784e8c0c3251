"""Sessions: talks and workshops."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import MISSING, AliasChoices, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from app.models import Session
from app.schemas.fields import (
    Capacity,
    Id,
    Ignored,
    Input,
    LongText,
    Moment,
    Name,
    Output,
    RoomName,
    Utc,
    after,
)
from app.schemas.speakers import SpeakerRead
from app.schemas.users import UserBrief

OnAgendaConflict = Literal["refuse", "release"]
SpeakerIds = Annotated[list[Id], Field(max_length=50, description="Who speaks; up to fifty.")]

EXAMPLE: JsonDict = {
    "title": "Keynote: un país de eventos",
    "start_at": "2031-03-01T09:00:00-05:00",
    "end_at": "2031-03-01T10:00:00-05:00",
    "room": "Sala Macondo",
}


class SessionPlan(Input):
    """What a session is, without its event."""

    title: Name
    description: LongText | None = None
    start_at: Moment
    end_at: Moment
    room: RoomName | None = Field(None, description="A room's name; an unknown one makes the room.")
    capacity_total: Capacity | None = Field(None, description="Its places; without it, its room's.")
    speaker_ids: SpeakerIds = Field([])
    capacity_available: Ignored = None

    @field_validator("end_at")
    @classmethod
    def _ends_after_start(cls, end_at: datetime, earlier: ValidationInfo) -> datetime:
        return after("start_at", end_at, earlier)


class SessionCreate(SessionPlan):
    """A new session of an event."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"event_id": 1, **EXAMPLE}]})

    event_id: Id


class SessionCreateInPath(SessionPlan):
    """A new session of the event that the path names; one named in the body has no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    event_id: Ignored = None


class SessionUpdate(Input):
    """Changes to a session; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"room": "Auditorio"}]})

    title: Name | MISSING = MISSING
    description: LongText | MISSING | None = MISSING
    start_at: Moment | MISSING = MISSING
    end_at: Moment | MISSING = MISSING
    room: RoomName | MISSING | None = MISSING
    capacity_total: Capacity | MISSING | None = MISSING
    speaker_ids: SpeakerIds | MISSING = MISSING
    capacity_available: Ignored = None


class SessionTimes(Output):
    """What stands in the way of something, and may not be seen."""

    start_at: Utc
    end_at: Utc


class SessionOpening(Output):
    """When and where a session could be instead."""

    start_at: Utc
    end_at: Utc
    room: str | None


class SessionOutline(Output):
    """What stands in the way of something."""

    session_id: int = Field(validation_alias=AliasChoices("session_id", "id"))
    title: str
    start_at: Utc
    end_at: Utc
    room: str | None
    speaker_ids: list[int]


def outline(session: Session, *, visible: bool = True) -> dict[str, Any]:
    """Describe a session that stands in the way; of one that may not be seen, its times only."""
    shown = None if visible else {"start_at", "end_at"}
    return SessionOutline.model_validate(session).model_dump(mode="json", include=shown)


def suggestion(opening: Any) -> dict[str, Any]:
    """Describe when and where a session could be instead."""
    return SessionOpening.model_validate(opening).model_dump(mode="json")


class SessionRead(Output):
    """A session."""

    id: int
    event_id: int
    title: str
    description: str | None
    start_at: Utc
    end_at: Utc
    room: str | None
    capacity_total: int | None
    capacity_available: int | None
    speakers: list[SpeakerRead]


class SessionRescheduled(SessionRead):
    """A session after a change that was let release seats, and what that cost."""

    version: int = Field(exclude=True)
    released: list[UserBrief] = Field(
        description="Those who gave up their seats in it, having another at its new time."
    )
