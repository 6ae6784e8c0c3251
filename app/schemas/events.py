"""Events."""

from datetime import datetime
from typing import Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from app.core.security import LONGEST_ID
from app.models.enums import EventStatus
from app.schemas.fields import (
    Capacity,
    Ignored,
    Input,
    LongText,
    Moment,
    Name,
    Output,
    Search,
    ShortText,
    Timezone,
    Utc,
    after,
)
from app.schemas.pages import PageQuery
from app.schemas.sessions import SessionRead

EventSort = Literal["start_at", "-start_at", "name", "-name", "-created_at"]
SearchIn = Literal["name", "venue", "description", "all"]


class EventCreate(Input):
    """A new event."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "PyCon Bogotá",
                    "description": "Tres días de Python en los Andes.",
                    "venue": "Ágora Bogotá",
                    "start_at": "2031-03-01T08:00:00-05:00",
                    "end_at": "2031-03-03T18:00:00-05:00",
                    "timezone": "America/Bogota",
                    "capacity_total": 300,
                }
            ]
        }
    )

    name: Name
    description: LongText | None = None
    venue: ShortText | None = None
    start_at: Moment
    end_at: Moment
    timezone: Timezone = "UTC"
    capacity_total: Capacity
    status: Literal[EventStatus.DRAFT, EventStatus.PUBLISHED] = EventStatus.PUBLISHED
    waitlist_enabled: bool = False
    registration_opens_at: Moment | None = None
    registration_closes_at: Moment | None = None
    capacity_available: Ignored = None

    @field_validator("end_at")
    @classmethod
    def _ends_after_start(cls, end_at: datetime, earlier: ValidationInfo) -> datetime:
        return after("start_at", end_at, earlier)

    @field_validator("registration_closes_at")
    @classmethod
    def _closes_after_opening(cls, closes_at: datetime | None, earlier: ValidationInfo) -> datetime | None:
        return after("registration_opens_at", closes_at, earlier)


class EventUpdate(Input):
    """Changes to an event; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"capacity_total": 350}]})

    name: Name | MISSING = MISSING
    description: LongText | MISSING | None = MISSING
    venue: ShortText | MISSING | None = MISSING
    start_at: Moment | MISSING = MISSING
    end_at: Moment | MISSING = MISSING
    timezone: Timezone | MISSING = MISSING
    capacity_total: Capacity | MISSING = MISSING
    status: EventStatus | MISSING = MISSING
    waitlist_enabled: bool | MISSING = MISSING
    registration_opens_at: Moment | MISSING | None = MISSING
    registration_closes_at: Moment | MISSING | None = MISSING
    capacity_available: Ignored = None


class EditQuery(BaseModel):
    """What happens to the times that an edit does not name, as query parameters."""

    shift_sessions: bool = Field(
        default=False, description="Move the end and the sessions as far as `start_at` moves."
    )
    keep: Literal["instants", "local"] = Field(
        "instants", description="What a new `timezone` leaves: the instants, or what the clocks show."
    )


class EventSummary(Output):
    """An event as lists show it."""

    id: int
    name: str
    description: str | None
    venue: str | None
    start_at: Utc
    end_at: Utc
    timezone: str
    capacity_total: int
    capacity_available: int = Field(description="Places left, counted by the database.")
    waitlist_enabled: bool
    waitlist_count: int
    status: EventStatus
    registration_opens_at: Utc | None
    registration_closes_at: Utc | None
    created_by: int = Field(description="The account that owns the event.")
    created_at: Utc
    updated_at: Utc = Field(description="Changes with edits, not with registrations.")


class EventBrief(Output):
    """Which event something belongs to."""

    id: int
    name: str


class EventRead(EventSummary):
    """An event with its sessions in time order."""

    sessions: list[SessionRead]


class EventQuery(PageQuery):
    """Which events a list keeps, and in which order."""

    search: Search | None = Field(
        None, description="Words in any order, whatever their case and accents; small typos are forgiven."
    )
    search_in: SearchIn = Field("name", description="Where the words are looked for.")
    ends_after: Moment | None = Field(None, alias="from", description="Keep what is still on at that time.")
    starts_before: Moment | None = Field(None, alias="to", description="Keep what has begun by that time.")
    venue: Search | None = Field(None, description="Words of the venue, whatever their case and accents.")
    organizer_id: int | None = Field(
        None, ge=1, le=LONGEST_ID, description="Keep the events of this account."
    )
    has_places: bool | None = Field(None, description="Keep those with places left, or those without.")
    sort: EventSort | None = Field(
        None,
        description="Ties are broken by id, in the same direction. Without it the best match comes first, or "
        "the soonest where nothing is searched.",
    )


class OwnEventQuery(PageQuery):
    """Which of the events that I run a list keeps."""

    status: EventStatus | None = None
