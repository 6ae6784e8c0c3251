"""Schedules as conferences exchange them: written whole, and read from whoever writes them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from app.core.text import printable
from app.core.zones import DAY, instant_of
from app.models import Event, Session
from app.schemas.fields import LATEST, LongText, Moment, Name, Output, Storable, Utc

MOST_SESSIONS = 5_000
MOST_PERSONS = 50
LONGEST_TEXT = 10_000
LONGEST_SLUG = 60
SHORTEST_ACRONYM = 4
SLOT = "00:05"

Address = Callable[..., str]

GUID = "1b7e5d0a-4c1f-4d7e-9a53-0e6f2f4d8c11"
EXAMPLE: JsonDict = {
    "schedule": {
        "conference": {
            "days": [
                {
                    "rooms": {
                        "Sala Macondo": [
                            {
                                "guid": GUID,
                                "date": "2031-03-01T09:00:00-05:00",
                                "duration": "01:00",
                                "title": "Un país de eventos",
                                "abstract": "Por qué nos encontramos.",
                                "persons": [{"public_name": "Laura Restrepo"}],
                            }
                        ]
                    }
                }
            ]
        }
    }
}
EXAMPLE_XML = f"""<schedule>
  <conference><title>Encuentro Andino</title></conference>
  <day index="1" date="2031-03-01">
    <room name="Sala Macondo">
      <event guid="{GUID}">
        <date>2031-03-01T09:00:00-05:00</date>
        <duration>01:00</duration>
        <title>Un país de eventos</title>
        <abstract>Por qué nos encontramos.</abstract>
        <persons><person>Laura Restrepo</person></persons>
      </event>
    </room>
  </day>
</schedule>
"""


# Written


class SchedulePerson(Output):
    """Who speaks."""

    id: int
    guid: UUID
    public_name: str


class ScheduleTalk(Output):
    """A session."""

    id: int
    guid: UUID
    date: str = Field(description="When it starts, with its offset.")
    start: str = Field(description="When it starts, by the clocks there: HH:MM.")
    duration: str = Field(description="HH:MM")
    room: str
    slug: str
    url: str
    title: str
    subtitle: str
    track: str
    type: str
    language: str
    abstract: str
    description: str
    persons: list[SchedulePerson]
    links: list[str]
    attachments: list[str]


class ScheduleDay(Output):
    """A day by the clocks there, from midnight to midnight."""

    index: int
    date: str
    day_start: str
    day_end: str
    rooms: dict[str, list[ScheduleTalk]] = Field(description="Sessions without a room are under ''.")


class ScheduleConference(Output):
    """An event."""

    acronym: str
    title: str
    start: str
    end: str
    daysCount: int  # noqa: N815 - as the format has it
    timeslot_duration: str
    time_zone_name: str
    url: str
    days: list[ScheduleDay]


class Schedule(Output):
    """The schedule of an event."""

    version: str = Field(description="Another one for each state of the schedule.")
    base_url: str
    conference: ScheduleConference


class ScheduleRead(Output):
    """A schedule as a document."""

    schedule: Schedule


def schedule_of(event: Event, address: Address) -> ScheduleRead:
    """Describe an event, which has its sessions, as a schedule; ``address`` writes the addresses in it.

    What the format asks for and an event does not have is empty. ``version`` is left to the caller.
    """
    zone = ZoneInfo(event.timezone)
    first = event.start_at.astimezone(zone).date()
    last = (event.end_at - timedelta.resolution).astimezone(zone).date()
    acronym = _slug(event.name).replace("-", "_")
    if len(acronym) < SHORTEST_ACRONYM:
        acronym = f"event_{event.id}"
    # A day without sessions says nothing; but a schedule has to have a day.
    days: dict[date, dict[str, list[ScheduleTalk]]] = {} if event.sessions else {first: {}}
    # Those without a room come last.
    for session in sorted(event.sessions, key=lambda session: (session.room is None, session.room or "")):
        talk = _talk(session, zone, acronym, address)
        days.setdefault(date.fromisoformat(talk.date[:10]), {}).setdefault(talk.room, []).append(talk)
    return ScheduleRead(
        schedule=Schedule(
            version="",
            base_url=address(),
            conference=ScheduleConference(
                acronym=acronym,
                title=printable(event.name),
                start=first.isoformat(),
                end=last.isoformat(),
                daysCount=(last - first).days + 1,
                timeslot_duration=SLOT,
                time_zone_name=event.timezone,
                url=address("read_event", event_id=event.id),
                days=[
                    ScheduleDay(
                        index=(on - first).days + 1,
                        date=on.isoformat(),
                        day_start=_midnight(on, event.timezone),
                        day_end=_midnight(on + DAY, event.timezone),
                        rooms=rooms,
                    )
                    for on, rooms in sorted(days.items())
                ],
            ),
        )
    )


def _talk(session: Session, zone: ZoneInfo, acronym: str, address: Address) -> ScheduleTalk:
    start_at = session.start_at.astimezone(zone)
    return ScheduleTalk(
        id=session.id,
        guid=session.guid,
        date=start_at.isoformat(),
        start=f"{start_at:%H:%M}",
        duration=_duration(session.end_at - session.start_at),
        room=printable(session.room or ""),
        slug=f"{acronym}-{session.id}-{_slug(session.title)}".rstrip("-"),
        url=address("read_session", session_id=session.id),
        title=printable(session.title),
        subtitle="",
        track="",
        type="",
        language="",
        abstract="",
        description=printable(session.description or ""),
        persons=[
            SchedulePerson(id=speaker.id, guid=speaker.guid, public_name=printable(speaker.full_name))
            for speaker in session.speakers
        ],
        links=[],
        attachments=[],
    )


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST_SLUG].strip("-")


def _duration(lasting: timedelta) -> str:
    minutes, seconds = divmod(int(lasting.total_seconds()), 60)
    whole = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{whole}:{seconds:02}" if seconds else whole


def _midnight(on: date, zone: str) -> str:
    return instant_of(datetime.combine(on, time()), zone).astimezone(ZoneInfo(zone)).isoformat()


# Read

DURATION = re.compile(r"(\d{1,5}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def _tidy(value: Any) -> Any:
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) else value


def _lasting(value: Any) -> Any:
    found = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write a duration as HH:MM, e.g. 00:45")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


TidyName = Annotated[Name, BeforeValidator(_tidy)]
TidyText = Annotated[LongText, BeforeValidator(_tidy)]
RoomKey = Annotated[Storable, Field(max_length=100), BeforeValidator(_tidy)]
Lasting = Annotated[timedelta, BeforeValidator(_lasting)]
GuidIfAny = Annotated[UUID | None, BeforeValidator(lambda value: value or None)]


class _Foreign(BaseModel):
    """What another system wrote: fields that have no place here are passed over."""


class PlannedPerson(_Foreign):
    """Who is to speak."""

    guid: GuidIfAny = None
    public_name: TidyName = Field(validation_alias=AliasChoices("public_name", "name"))


class PlannedTalk(_Foreign):
    """A session as it is to be."""

    guid: UUID
    title: TidyName
    date: Moment
    duration: Lasting
    room: RoomKey = ""
    abstract: TidyText = ""
    description: TidyText = ""
    persons: list[PlannedPerson] = Field([], max_length=MOST_PERSONS)

    @field_validator("duration")
    @classmethod
    def _ends_in_time(cls, duration: timedelta, earlier: ValidationInfo) -> timedelta:
        if not duration:
            raise ValueError("a session lasts a second at least")
        start_at = earlier.data.get("date")
        if start_at is not None and start_at + duration >= LATEST:
            raise ValueError("the session has to end before 2200")
        return duration

    @model_validator(mode="after")
    def _words_fit(self) -> Self:
        if len(self.words or "") > LONGEST_TEXT:
            raise ValueError(f"abstract and description together have at most {LONGEST_TEXT} characters")
        return self

    @property
    def end_at(self) -> datetime:
        """Return when it is over."""
        return self.date + self.duration

    @property
    def words(self) -> str | None:
        """Return its description: the abstract, and what is said beside it."""
        return "\n\n".join(dict.fromkeys(filter(None, (self.abstract, self.description)))) or None


class PlannedDay(_Foreign):
    """Sessions by the names of their rooms."""

    rooms: dict[RoomKey, list[PlannedTalk]] = Field({})


class PlannedConference(_Foreign):
    """The days of a conference."""

    days: list[PlannedDay]


class PlannedSchedule(_Foreign):
    """What stands around a conference."""

    conference: PlannedConference


class ScheduleFile(_Foreign):
    """A schedule to take in."""

    schedule: PlannedSchedule

    @model_validator(mode="after")
    def _names_each_session_once(self) -> Self:
        talks = self.talks
        if len(talks) > MOST_SESSIONS:
            raise ValueError(f"a schedule has at most {MOST_SESSIONS:,} sessions")
        for guid, times in Counter(talk.guid for talk in talks).most_common(1):
            if times > 1:
                raise ValueError(f"the guid {guid} is there twice; each session has its own")
        return self

    @property
    def talks(self) -> list[PlannedTalk]:
        """Return its sessions; one that names no room is in the one that it is listed under."""
        return [
            talk if talk.room else talk.model_copy(update={"room": name})
            for day in self.schedule.conference.days
            for name, listed in day.rooms.items()
            for talk in listed
        ]


class TalkOutline(Output):
    """A session as a schedule has it; one that is not made yet has no id."""

    session_id: int | None
    guid: UUID
    title: str
    start_at: Utc
    end_at: Utc
    room: str | None
    speaker_ids: list[int]


class ScheduleClash(Output):
    """Sessions of a schedule that cannot be as they are there."""

    kind: str = Field(description="The problem that it would be on its own.")
    sessions: list[TalkOutline] = Field(description="Those of the schedule, as they are there.")
    conflicts: list[dict[str, Any]] = Field(
        description="Those in the way that stay; of one that you may not see, its times only."
    )
    people: int | None = Field(description="With `agenda-conflict`, whose agenda breaks: how many people.")


class ScheduleImported(Output):
    """What a schedule changes."""

    created: int
    updated: int
    unchanged: int
    conflicts: list[ScheduleClash] = Field(description="What stands in the way, in a dry run.")
