"""Schedules in XML: written and read, and refused where they would do harm."""

import pytest

from app.core.frab import NotAScheduleError, read_xml, write_xml
from app.core.text import printable

TALK = {
    "id": 7,
    "guid": "1b7e5d0a-4c1f-4d7e-9a53-0e6f2f4d8c11",
    "date": "2031-03-01T09:00:00-05:00",
    "title": "¿Qué <es> \"esto\" & 'aquello'?",
    "description": "<p>Uno\n\tdos</p> ]]> &amp;",
    "persons": [{"id": 3, "guid": "2b7e5d0a-4c1f-4d7e-9a53-0e6f2f4d8c11", "public_name": "山田 & hijos"}],
    "links": [],
    "attachments": [],
}


def schedule(rooms: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    conference = dict.fromkeys(
        ("acronym", "title", "start", "end", "daysCount", "timeslot_duration", "time_zone_name"), "x"
    )
    day = {"index": 1, "date": "x", "day_start": "x", "day_end": "x", "rooms": rooms}
    return {"schedule": {"version": "x", "base_url": "x", "conference": {**conference, "days": [day]}}}


def test_what_is_written_is_read_again() -> None:
    name = "Aula <3> & \"co\"\n'x'\t"
    read = read_xml(write_xml(schedule({name: [TALK]})))
    (day,) = read["schedule"]["conference"]["days"]
    (talk,) = day["rooms"][name]
    assert {key: talk[key] for key in ("guid", "date", "title", "description")} == {
        key: TALK[key] for key in ("guid", "date", "title", "description")
    }
    assert talk["persons"] == [{**TALK["persons"][0], "id": "3"}]  # type: ignore[index]


def test_the_parts_of_a_room_are_put_together() -> None:
    event = '<event guid="{}"><title>T</title></event>'
    text = f"""<schedule><conference/><day><room name="A">{event.format(1)}</room>
    <room name="B"/><room name="A">{event.format(2)}</room></day></schedule>"""
    (day,) = read_xml(text.encode())["schedule"]["conference"]["days"]
    assert {name: [talk["guid"] for talk in talks] for name, talks in day["rooms"].items()} == {
        "A": ["1", "2"],
        "B": [],
    }


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not well-formed"),
        (b"<schedule>", "not well-formed"),
        (b"<schedule></conference></schedule>", "not well-formed"),
        (b"{}", "not well-formed"),
        (b"\xff\xfe\x00", "not well-formed"),
        (b"<schedule>\xff</schedule>", "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><schedule/>', "not well-formed"),
        (b"<schedule>&undefined;</schedule>", "not well-formed"),
        (b"<schedule>\x0b</schedule>", "not well-formed"),
        (b"<html/>", "'html' and not 'schedule'"),
        (b"<!DOCTYPE schedule><schedule/>", "document type"),
        (f'<!DOCTYPE s [<!ENTITY l0 "ha">{LAUGHS}]><schedule>&l9;</schedule>'.encode(), "document type"),
        (b'<!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]><schedule>&e;</schedule>', "document type"),
        (b'<!DOCTYPE s SYSTEM "http://127.0.0.1:9/dtd"><schedule/>', "document type"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(NotAScheduleError, match=reason):
        read_xml(text)


def test_a_schedule_nested_without_end_is_read_or_refused_and_nothing_worse() -> None:
    deep = 100_000
    text = b"<schedule><conference/>" + b"<day>" * deep + b"</day>" * deep + b"</schedule>"
    assert read_xml(text) == {"schedule": {"conference": {"days": [{"rooms": {}}]}}}


def test_without_a_conference_there_is_none() -> None:
    assert read_xml(b"<schedule><day/></schedule>") == {"schedule": {}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\u2028b\u2029c\x85d", "a\nb\nc\nd"),
        ("\x01\x1f\x7f\ufffetab\tstays", "tab\tstays"),
        ("Ñandú ☕ 漢字 🎉", "Ñandú ☕ 漢字 🎉"),
    ],
)
def test_text_is_made_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
