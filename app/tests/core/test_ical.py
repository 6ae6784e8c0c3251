"""Calendars as bytes: read back by another library than the one that wrote them, and line by line."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from io import StringIO
from zoneinfo import ZoneInfo

import ics
import pytest
from dateutil.tz import tzical

from app.core.ical import Calendar, Entry, EntryStatus, document

LONGEST_LINE = 75

ENTRY = Entry(
    uid="1b7e5d0a@mis-eventos",
    sequence=3,
    changed_at=datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC),
    start_at=datetime(2031, 3, 1, 14, 0, tzinfo=UTC),
    end_at=datetime(2031, 3, 1, 15, 0, tzinfo=UTC),
    zone="America/Bogota",
    status=EntryStatus.CONFIRMED,
    summary="Un país; de eventos, y más",
    location="Sala Macondo, Ágora",
    description="Laura\n\nUna \\ barra",
)


def written(*entries: Entry, name: str = "Encuentro") -> bytes:
    return document(Calendar(name, entries)).write()


def read(text: bytes) -> list[ics.Event]:
    return sorted(ics.Calendar(text.decode()).events)


def instant(line: str, clocks: tzinfo) -> datetime:
    """Return the instant in a line, by clocks that are known from the VTIMEZONE alone."""
    value = line.rpartition(":")[2]
    local = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 - the zone comes next
    return local.replace(tzinfo=UTC if value.endswith("Z") else clocks).astimezone(UTC)


def lines(text: bytes) -> list[str]:
    """Return the lines as they were before they were folded."""
    return text.replace(b"\r\n ", b"").decode().split("\r\n")


def test_another_library_reads_what_was_written() -> None:
    (event,) = read(written(ENTRY))
    assert (event.uid, event.name) == (ENTRY.uid, ENTRY.summary)
    assert (event.location, event.description) == (ENTRY.location, ENTRY.description)
    assert (event.begin.datetime, event.end.datetime) == (ENTRY.start_at, ENTRY.end_at)
    assert (event.created.datetime, event.last_modified.datetime) == (ENTRY.changed_at, ENTRY.changed_at)
    assert (event.status, [line.value for line in event.extra]) == ("CONFIRMED", ["3"])


def test_a_name_of_several_lines_is_text_on_one() -> None:
    shown = lines(written(ENTRY, name="Uno; dos\nBEGIN:VEVENT, y tres"))
    assert [line for line in shown if line.startswith(("NAME:", "X-WR-CALNAME:"))] == [
        "NAME:Uno\\; dos\\nBEGIN:VEVENT\\, y tres",
        "X-WR-CALNAME:Uno\\; dos\\nBEGIN:VEVENT\\, y tres",
    ]


@pytest.mark.parametrize("status", EntryStatus)
def test_a_status_is_told(status: EntryStatus) -> None:
    assert [event.status for event in read(written(replace(ENTRY, status=status)))] == [status.value]


def test_times_are_shown_in_the_zone_and_its_clocks_are_explained() -> None:
    shown = lines(written(ENTRY))
    assert "DTSTART;TZID=America/Bogota:20310301T090000" in shown
    assert "DTEND;TZID=America/Bogota:20310301T100000" in shown
    assert shown.count("BEGIN:VTIMEZONE") == 1
    assert "TZOFFSETTO:-0500" in shown


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC"])
def test_utc_needs_no_explanation(zone: str) -> None:
    shown = lines(written(replace(ENTRY, zone=zone)))
    assert "DTSTART:20310301T140000Z" in shown
    assert "BEGIN:VTIMEZONE" not in shown


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Madrid", datetime(2031, 3, 30, 1, 0, tzinfo=UTC)),
        ("Europe/Madrid", datetime(2031, 10, 26, 1, 0, tzinfo=UTC)),
        ("America/Santiago", datetime(2031, 9, 7, 4, 0, tzinfo=UTC)),
        ("America/Santiago", datetime(2031, 4, 6, 3, 0, tzinfo=UTC)),
        ("Europe/Dublin", datetime(2031, 3, 30, 1, 0, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2031, 10, 4, 15, 30, tzinfo=UTC)),
        ("America/Bogota", datetime(2031, 3, 30, 1, 0, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2031, 3, 30, 1, 0, tzinfo=UTC)),
    ],
)
def test_every_quarter_of_an_hour_around_a_change_of_clocks_is_read_as_it_was_meant(
    zone: str, change: datetime
) -> None:
    quarter = timedelta(minutes=15)
    moments = [change + n * quarter for n in range(-120, 120)]
    entries = [
        replace(ENTRY, uid=str(n), zone=zone, start_at=moment, end_at=moment + quarter)
        for n, moment in enumerate(moments)
    ]
    text = written(*entries)
    clocks = tzical(StringIO(text.decode())).get(zone)
    assert [instant(line, clocks) for line in lines(text) if re.match(r"DTSTART.*(TZID|Z$)", line)] == moments
    assert [instant(line, clocks) - quarter for line in lines(text) if line.startswith("DTEND")] == moments


def test_an_onset_is_what_clocks_showed_until_then() -> None:
    """At 02:00 clocks in Madrid go on to 03:00, and in autumn from 03:00 back to 02:00 (RFC 5545, 3.6.5)."""
    spring = replace(ENTRY, zone="Europe/Madrid", start_at=datetime(2031, 3, 1, tzinfo=UTC))
    shown = lines(written(replace(spring, end_at=datetime(2031, 11, 30, tzinfo=UTC))))
    onsets = [line for line in shown if line.startswith(("BEGIN:STANDARD", "BEGIN:DAYLIGHT", "DTSTART:"))]
    assert onsets == [
        "BEGIN:STANDARD",
        "DTSTART:20310228T010000",
        "BEGIN:DAYLIGHT",
        "DTSTART:20310330T020000",
        "BEGIN:STANDARD",
        "DTSTART:20311026T030000",
    ]


def test_each_zone_is_explained_once() -> None:
    zones = ["Europe/Madrid", "America/Bogota", "Europe/Madrid", "UTC"]
    entries = [replace(ENTRY, uid=f"{n}@mis-eventos", zone=zone) for n, zone in enumerate(zones)]
    shown = lines(written(*entries))
    assert [line for line in shown if line.startswith("TZID:")] == [
        "TZID:America/Bogota",
        "TZID:Europe/Madrid",
    ]


def test_long_lines_are_folded_between_characters() -> None:
    long = replace(ENTRY, summary="Ñandú ☕ 漢字 " * 20, description="🎉 línea\n" * 50)
    text = written(long, name="Ñ" * 100)
    assert max(len(line) for line in text.split(b"\r\n")) <= LONGEST_LINE
    # Each line is text by itself.
    assert all(line.decode() is not None for line in text.split(b"\r\n"))
    (event,) = read(text)
    assert (event.name, event.description) == (long.summary, long.description)


def test_what_calendars_cannot_carry_is_left_out() -> None:
    (event,) = read(written(replace(ENTRY, description="a\x0bb\x00c\r\nd\u2028e\x85f", summary="x\ry")))
    assert (event.description, event.name) == ("abc\nd\ne\nf", "x\ny")


def test_an_empty_calendar_is_one() -> None:
    assert read(written()) == []


def test_the_same_facts_are_the_same_bytes_under_the_same_tag() -> None:
    offset = replace(ENTRY, start_at=ENTRY.start_at.astimezone(ZoneInfo("Asia/Tokyo")))
    one, same = document(Calendar("Encuentro", [ENTRY])), document(Calendar("Encuentro", [offset]))
    assert (one.tag, one.write()) == (same.tag, same.write())


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 4},
        {"status": EntryStatus.CANCELLED},
        {"summary": "Otro"},
        {"location": ""},
        {"description": ""},
        {"zone": "America/Lima"},
        {"end_at": ENTRY.end_at + timedelta(minutes=1)},
        {"changed_at": ENTRY.changed_at + timedelta(seconds=1)},
    ],
)
def test_another_fact_is_another_tag(change: dict[str, object]) -> None:
    one = document(Calendar("Encuentro", [ENTRY]))
    other = document(Calendar("Encuentro", [replace(ENTRY, **change)]))  # type: ignore[arg-type]
    assert one.tag != other.tag
    assert one.write() != other.write()
