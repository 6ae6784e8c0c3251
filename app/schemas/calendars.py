"""Calendars to subscribe to."""

from pydantic import Field

from app.schemas.fields import Output, Utc


class CalendarFeedRead(Output):
    """The address of one's own calendar; whoever knows it can read that calendar."""

    url: str = Field(description="Shown this once. Making a new one ends it.")
    created_at: Utc
