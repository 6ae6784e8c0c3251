"""The XML in which conferences exchange schedules, to and from the JSON of the same schedules.

Both say the same: a conference has days, a day has rooms, and a room has events, which are sessions here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, TreeBuilder, indent, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

MOST_PARTS = 150_000
MOST_NAMED = 30_000
ATTRIBUTES = ("id", "guid")
OF_A_CONFERENCE = ("acronym", "title", "start", "end", "days", "timeslot_duration", "time_zone_name")


class NotAScheduleError(ValueError):
    """The text is no XML that may be read, or not of a schedule."""


def write_xml(document: Mapping[str, Any]) -> bytes:
    """Return the XML of a schedule in the form that it has as JSON."""
    schedule = document["schedule"]
    conference = schedule["conference"]
    root = Element("schedule")
    SubElement(root, "version").text = schedule["version"]
    _fill(
        SubElement(root, "conference"),
        {**conference, "days": conference["daysCount"], "base_url": schedule["base_url"]},
        (*OF_A_CONFERENCE, "base_url"),
    )
    for day in conference["days"]:
        limits = {"index": str(day["index"]), "date": day["date"]}
        limits |= {"start": day["day_start"], "end": day["day_end"]}
        shown = SubElement(root, "day", limits)
        for name, talks in day["rooms"].items():
            room = SubElement(shown, "room", {"name": name})
            for talk in talks:
                _write_talk(room, talk)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _write_talk(room: Element, talk: Mapping[str, Any]) -> None:
    event = SubElement(room, "event", {name: str(talk[name]) for name in ATTRIBUTES})
    lists = ("persons", "links", "attachments")
    _fill(event, talk, [name for name in talk if name not in {*ATTRIBUTES, *lists}])
    persons = SubElement(event, "persons")
    for person in talk["persons"]:
        names = {name: str(person[name]) for name in ATTRIBUTES}
        SubElement(persons, "person", names).text = person["public_name"]
    SubElement(event, "links")
    SubElement(event, "attachments")


def _fill(element: Element, values: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        SubElement(element, name).text = str(values[name])


class _Tree(TreeBuilder):
    """A tree that stops growing, because a strange body may be all elements and no schedule."""

    def __init__(self) -> None:
        super().__init__()
        self._parts = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        """Begin an element; it counts as one, and each of its attributes."""
        self._parts += 1 + len(attrs)
        if self._parts > MOST_PARTS:
            raise NotAScheduleError(f"it has more than {MOST_PARTS:,} elements and attributes")
        return super().start(tag, attrs)


def read_xml(text: bytes) -> dict[str, Any]:
    """Return the schedule in XML ``text`` in the form that it has as JSON, with what is missing left out.

    Raises:
        NotAScheduleError: it is not well-formed, has a document type, is too large or of something else.

    """
    parser = DefusedXMLParser(target=_Tree(), forbid_dtd=True)
    try:
        parser.feed(text)
        root = parser.close()
    except DefusedXmlException:
        raise NotAScheduleError("a document type is not read, with entities or without") from None
    except NotAScheduleError:
        raise
    except (ParseError, LookupError, ValueError) as error:
        raise NotAScheduleError(f"this is not well-formed XML ({error})") from None
    if root.tag != "schedule":
        raise NotAScheduleError(f"the outermost element is '{root.tag}' and not 'schedule'")
    conference = root.find("conference")
    if conference is None:
        return {"schedule": {}}
    days = [{"rooms": _rooms(day)} for day in root.findall("day")]
    return {"schedule": {"conference": {"days": days}}}


def _rooms(day: Element) -> dict[str, list[dict[str, Any]]]:
    rooms: dict[str, list[dict[str, Any]]] = {}
    for room in day.findall("room"):
        talks = rooms.setdefault(room.get("name", ""), [])
        talks.extend(_talk(event) for event in room.findall("event"))
    return rooms


def _talk(event: Element) -> dict[str, Any]:
    persons = [
        {**person.attrib, "public_name": person.text or ""} for person in event.iterfind("persons/person")
    ]
    return {**event.attrib, **{child.tag: child.text or "" for child in event}, "persons": persons}


def ensure_modest(document: Any) -> None:
    """See that a schedule, as JSON and not yet looked at, names no more than can be looked at.

    Raises:
        NotAScheduleError: it names too many days, rooms, sessions and people, in whatever shape.

    """
    named = 0
    for names in _names(document):
        named += len(names)
        if named > MOST_NAMED:
            raise NotAScheduleError(f"it names more than {MOST_NAMED:,} days, rooms, sessions and people")


def _names(document: Any) -> Iterator[Sequence[Any]]:
    days = _list(_member(_member(_member(document, "schedule"), "conference"), "days"))
    yield days
    for day in days:
        rooms = _member(day, "rooms")
        named = list(rooms.values()) if isinstance(rooms, dict) else []
        yield named
        for talks in map(_list, named):
            yield talks
            yield from (_list(_member(talk, "persons")) for talk in talks)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
