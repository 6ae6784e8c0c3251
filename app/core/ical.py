"""Calendars as iCalendar (RFC 5545), written from plain facts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from zoneinfo import ZoneInfo

import icalendar

from app.core.documents import Document
from app.core.text import printable
from app.core.zones import DAY, observances

MEDIA_TYPE = "text/calendar"
PRODUCT = "-//Mis Eventos//Mis Eventos//EN"
UTC_NAMES = frozenset({"UTC", "Etc/UTC"})


class EntryStatus(StrEnum):
    """What an entry is worth to who reads it."""

    TENTATIVE = "TENTATIVE"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that takes place: a VEVENT.

    ``sequence`` and ``changed_at`` come from what is shown, never from the clock, so that the same facts
    are the same bytes.
    """

    uid: str
    sequence: int
    changed_at: datetime
    start_at: datetime
    end_at: datetime
    zone: str
    status: EntryStatus
    summary: str
    location: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar with a name and its entries, in their order."""

    name: str
    entries: Sequence[Entry]


def document(calendar: Calendar, *, private: bool = False) -> Document:
    """Return ``calendar`` as a document to download."""
    # With the times as they are shown, which change when a zone changes its rules.
    shown = [
        replace(entry, start_at=start_at, end_at=end_at)
        for entry in calendar.entries
        for start_at, end_at in [_shown(entry)]
    ]
    state = json.dumps([calendar.name, *map(astuple, shown)], default=datetime.isoformat)
    return Document(MEDIA_TYPE, state, partial(_write, calendar), private)


def _write(calendar: Calendar) -> bytes:
    """Write a VCALENDAR, with a VTIMEZONE for each zone that its times are shown in."""
    written = icalendar.Calendar()
    written.add("PRODID", PRODUCT)
    written.add("VERSION", "2.0")
    # Said to be text: icalendar escapes nothing in properties that it does not know.
    name = icalendar.vText(printable(calendar.name))
    written.add("NAME", name)
    # The name in RFC 7986, and the one that calendar programs have read since before it.
    written.add("X-WR-CALNAME", name)
    for zone in sorted({entry.zone for entry in calendar.entries} - UTC_NAMES):
        written.add_component(_timezone(zone, [entry for entry in calendar.entries if entry.zone == zone]))
    for entry in calendar.entries:
        written.add_component(_event(entry))
    return bytes(written.to_ical())


def _event(entry: Entry) -> icalendar.Event:
    event = icalendar.Event()
    event.add("UID", entry.uid)
    event.add("SEQUENCE", entry.sequence)
    event.add("DTSTAMP", entry.changed_at.astimezone(UTC))
    event.add("LAST-MODIFIED", entry.changed_at.astimezone(UTC))
    start_at, end_at = _shown(entry)
    event.add("DTSTART", start_at)
    event.add("DTEND", end_at)
    event.add("STATUS", entry.status.value)
    event.add("SUMMARY", printable(entry.summary))
    for name, text in (("LOCATION", entry.location), ("DESCRIPTION", entry.description)):
        if text:
            event.add(name, printable(text))
    return event


def _shown(entry: Entry) -> tuple[datetime, datetime]:
    zone = UTC if entry.zone in UTC_NAMES else ZoneInfo(entry.zone)
    start_at, end_at = entry.start_at.astimezone(zone), entry.end_at.astimezone(zone)
    # A local time that clocks show twice is read as the first of the two; the second has to be in UTC.
    if start_at.fold or end_at.fold:
        return start_at.astimezone(UTC), end_at.astimezone(UTC)
    return start_at, end_at


def _timezone(zone: str, entries: Iterable[Entry]) -> icalendar.Timezone:
    """Say what clocks in ``zone`` show from the day before the first of ``entries`` until the last ends."""
    times = [moment.astimezone(UTC) for entry in entries for moment in (entry.start_at, entry.end_at)]
    first = min(times).replace(hour=0, minute=0, second=0, microsecond=0) - DAY
    last = max(times).replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    timezone = icalendar.Timezone()
    timezone.add("TZID", zone)
    offset_from: timedelta | None = None
    for observed in observances(zone, first, last):
        kind = icalendar.TimezoneDaylight if observed.is_daylight else icalendar.TimezoneStandard
        # An onset is what clocks showed until then.
        offset_from = observed.offset if offset_from is None else offset_from
        part = kind()
        part.add("DTSTART", (observed.since + offset_from).replace(tzinfo=None))
        part.add("TZOFFSETFROM", offset_from)
        part.add("TZOFFSETTO", observed.offset)
        part.add("TZNAME", observed.name)
        timezone.add_component(part)
        offset_from = observed.offset
    return timezone
