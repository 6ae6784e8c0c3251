"""Speakers."""

from typing import Annotated

from pydantic import MISSING, ConfigDict, Field

from app.schemas.fields import Id, Input, LongText, Name, Output, Search, ShortText, WebAddress
from app.schemas.pages import PageQuery

Links = Annotated[list[WebAddress], Field(max_length=10, description="Up to ten http(s) addresses.")]


class SpeakerCreate(Input):
    """A speaker, and the event whose line-up they join."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "full_name": "Laura Restrepo",
                    "event_id": 1,
                    "headline": "Writes databases that do not forget",
                    "company": "Andes Data",
                    "links": ["https://example.com/laura"],
                }
            ]
        }
    )

    full_name: Name
    event_id: Id | None = None
    headline: ShortText | None = None
    bio: LongText | None = None
    company: ShortText | None = None
    photo_url: WebAddress | None = None
    links: Links = Field([])


class SpeakerUpdate(Input):
    """Changes to a speaker; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"headline": "Author of three databases"}]})

    full_name: Name | MISSING = MISSING
    headline: ShortText | MISSING | None = MISSING
    bio: LongText | MISSING | None = MISSING
    company: ShortText | MISSING | None = MISSING
    photo_url: WebAddress | MISSING | None = MISSING
    links: Links | MISSING = MISSING


class SpeakerRead(Output):
    """A speaker."""

    id: int
    full_name: str
    headline: str | None
    bio: str | None
    company: str | None
    photo_url: str | None
    links: list[str]


class SpeakerQuery(PageQuery):
    """Which of my speakers a list keeps."""

    search: Search | None = Field(None, description="Part of the name.")
