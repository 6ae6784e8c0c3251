"""Schedules over HTTP: written in the shape that conferences exchange, and taken in again."""

import json
import re
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest
import xmlschema
from sqlalchemy import func, select

from app.core.database import Database
from app.core.settings import PROJECT
from app.models import Event, Room, Session, Speaker, User
from app.models.enums import EventStatus
from app.schemas.schedules import EXAMPLE, EXAMPLE_XML
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import HOUR, Factory, soon
from app.tests.routers.conftest import SignedIn, at, refused, z

DATA = PROJECT / "app" / "tests" / "data"
SHAPE_OF_JSON = jsonschema_rs.validator_for(
    json.loads((DATA / "schedule.schema.json").read_text("utf-8")), validate_formats=True
)
SHAPE_OF_XML = xmlschema.XMLSchema(DATA / "schedule.xsd")
CONFERENCE = {
    "application/json": (DATA / "conference.json").read_bytes(),
    "application/xml": (DATA / "conference.xml").read_bytes(),
}
TALKS = 92
JSON, XML = CONFERENCE
OF_THE_CONFERENCE = {
    "name": "Encuentro del Sur",
    "timezone": "America/Santiago",
    "start_at": datetime.fromisoformat("2031-09-05T00:00:00-04:00"),
    "end_at": datetime.fromisoformat("2031-09-08T00:00:00-03:00"),
}


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner)


@pytest.fixture
def conference(make: Factory, owner: User) -> Event:
    return make.event(owner, **OF_THE_CONFERENCE)


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def take_in(caller: Caller, event: Event, body: Any, media: str = JSON, *, dry_run: bool = False) -> Any:
    sent = body if isinstance(body, bytes | str) else json.dumps(body)
    path = f"/events/{event.id}/schedule" + "?dry_run=true" * dry_run
    return caller.post(path, content=sent, headers={"Content-Type": media})


def counts(response: Any) -> tuple[int, int, int]:
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["created"], answer["updated"], answer["unchanged"]


def talk(event: Event, hour: float = 0, hours: float = 1, **fields: Any) -> dict[str, Any]:
    times = at(event, hour, hours)
    minutes = int(hours * 60)
    plan = {"guid": str(uuid4()), "title": "Talk", "date": z(times["start_at"])}
    return {**plan, "duration": f"{minutes // 60:02}:{minutes % 60:02}", **fields}


def schedule(*talks: dict[str, Any]) -> dict[str, Any]:
    rooms: dict[str, list[dict[str, Any]]] = {}
    for one in talks:
        rooms.setdefault(one.get("room", ""), []).append(one)
    return {"schedule": {"conference": {"days": [{"rooms": rooms}]}}}


def sessions(caller: Caller, event: Event) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(f"/sessions?event_id={event.id}").json()
    return found


def valid_json(response: Any) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document: dict[str, Any] = response.json()
    assert [str(fault) for fault in SHAPE_OF_JSON.iter_errors(document)] == []
    return document


def valid_xml(response: Any) -> ET.Element:
    assert (response.status_code, response.headers["content-type"]) == (200, "application/xml")
    assert [fault.reason for fault in SHAPE_OF_XML.iter_errors(response.text)] == []
    return ET.fromstring(response.content)


# Written


def test_the_conference_is_one() -> None:
    assert [str(fault) for fault in SHAPE_OF_JSON.iter_errors(json.loads(CONFERENCE[JSON]))] == []
    assert [fault.reason for fault in SHAPE_OF_XML.iter_errors(CONFERENCE[XML].decode())] == []


def test_a_schedule_says_who_speaks_where_and_when(anonymous: Caller, make: Factory, owner: User) -> None:
    event = make.event(owner, **OF_THE_CONFERENCE, description="Words")
    speaker = make.speaker(owner, full_name="Laura Restrepo")
    session = make.session(
        event,
        room=make.room(event, name="Aula & Ñ"),
        speakers=(speaker,),
        title="Un país de eventos",
        description="<p>Sí</p>",
        start_at=event.start_at + 33 * HOUR,
        end_at=event.start_at + 34.5 * HOUR,
    )
    make.session(event, title="Sola", start_at=event.start_at + 70 * HOUR, end_at=event.end_at)
    schedule = valid_json(anonymous.get(f"/events/{event.id}/schedule.json"))["schedule"]
    conference = schedule["conference"]
    days = conference.pop("days")
    assert conference == {
        "acronym": "encuentro_del_sur",
        "title": "Encuentro del Sur",
        "start": "2031-09-05",
        "end": "2031-09-07",
        "daysCount": 3,
        "timeslot_duration": "00:05",
        "time_zone_name": "America/Santiago",
        "url": f"http://testserver{PREFIX}/events/{event.id}",
    }
    # On the third day clocks begin at one.
    assert [{name: day[name] for name in ("index", "date", "day_start", "day_end")} for day in days] == [
        {
            "index": 2,
            "date": "2031-09-06",
            "day_start": "2031-09-06T00:00:00-04:00",
            "day_end": "2031-09-07T01:00:00-03:00",
        },
        {
            "index": 3,
            "date": "2031-09-07",
            "day_start": "2031-09-07T01:00:00-03:00",
            "day_end": "2031-09-08T00:00:00-03:00",
        },
    ]
    assert days[0]["rooms"] == {
        "Aula & Ñ": [
            {
                "id": session.id,
                "guid": str(session.guid),
                "date": "2031-09-06T09:00:00-04:00",
                "start": "09:00",
                "duration": "01:30",
                "room": "Aula & Ñ",
                "slug": f"encuentro_del_sur-{session.id}-un-pais-de-eventos",
                "url": f"http://testserver{PREFIX}/sessions/{session.id}",
                "title": "Un país de eventos",
                **dict.fromkeys(("subtitle", "track", "type", "language", "abstract"), ""),
                "description": "<p>Sí</p>",
                "persons": [{"id": speaker.id, "guid": str(speaker.guid), "public_name": "Laura Restrepo"}],
                "links": [],
                "attachments": [],
            }
        ]
    }
    assert list(days[1]["rooms"]) == [""]


def test_both_formats_say_the_same(me: Caller, anonymous: Caller, conference: Event) -> None:
    take_in(me, conference, CONFERENCE[JSON])
    in_json = valid_json(anonymous.get(f"/events/{conference.id}/schedule.json"))["schedule"]
    in_xml = valid_xml(anonymous.get(f"/events/{conference.id}/schedule.xml"))
    assert in_xml.findtext("version") == in_json["version"]
    told = [
        {name: event.findtext(name) or "" for name in ("date", "start", "duration", "room", "title")}
        for event in in_xml.iterfind("day/room/event")
    ]
    days = in_json["conference"]["days"]
    talks = [one for day in days for room in day["rooms"].values() for one in room]
    assert told == [{name: one[name] for name in told[0]} for one in talks]
    assert len(told) == TALKS


@pytest.mark.parametrize("name", ["東京", "!", "A", "Ñ" * 255])
def test_an_event_has_an_acronym_whatever_it_is_called(anonymous: Caller, make: Factory, name: str) -> None:
    event = make.event(name=name)
    make.session(event, title=name)
    valid_json(anonymous.get(f"/events/{event.id}/schedule.json"))
    valid_xml(anonymous.get(f"/events/{event.id}/schedule.xml"))


def test_an_event_without_sessions_has_a_day(anonymous: Caller, event: Event) -> None:
    document = valid_json(anonymous.get(f"/events/{event.id}/schedule.json"))
    assert [day["rooms"] for day in document["schedule"]["conference"]["days"]] == [{}]
    valid_xml(anonymous.get(f"/events/{event.id}/schedule.xml"))


def test_what_xml_cannot_carry_is_left_out(anonymous: Caller, make: Factory, event: Event) -> None:
    make.session(event, title="a\x01b", description="c\x0bd\r\ne", room=make.room(event, name="f\x1f"))
    root = valid_xml(anonymous.get(f"/events/{event.id}/schedule.xml"))
    (shown,) = root.iterfind("day/room/event")
    assert [shown.findtext(name) for name in ("title", "description", "room")] == ["ab", "cd\ne", "f"]


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_who_has_the_schedule_is_told_so(
    me: Caller, anonymous: Caller, make: Factory, event: Event, suffix: str
) -> None:
    session = make.session(event)
    path = f"/events/{event.id}/schedule.{suffix}"
    first = anonymous.get(path)
    known = {"If-None-Match": first.headers["etag"]}
    assert anonymous.get(path, headers=known).status_code == 304
    me.patch(f"/sessions/{session.id}", json={"title": "Otra"})
    again = anonymous.get(path, headers=known)
    assert again.status_code == 200
    version = re.compile(r'version"?[:>]"?(\w+)')
    assert version.findall(again.text)[0] != version.findall(first.text)[0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_schedule_takes_as_many_queries_for_many_sessions_as_for_one(
    anonymous: Caller, make: Factory, event: Event, statements: list[str], count: int
) -> None:
    for n in range(count):
        make.session(event, room=make.room(event), speakers=(make.speaker(),), **at(event, n))
    paths = [f"/events/{event.id}/schedule.{suffix}" for suffix in ("json", "xml")]
    for path in paths:
        statements.clear()
        assert anonymous.get(path).status_code == 200
        assert len(statements) == 3


# Taken in


@pytest.mark.parametrize("media", [JSON, XML])
def test_the_schedule_of_a_conference_is_taken_in(me: Caller, conference: Event, media: str) -> None:
    assert counts(take_in(me, conference, CONFERENCE[media], media)) == (TALKS, 0, 0)
    made = sessions(me, conference)
    assert {one["room"] for one in made} == {
        "Sala Macondo",
        "Auditorio Gabriela Mistral",
        "Aula 3 (2º piso)",
        "Taller <Libre>",
        "Patio & Jardín",
    }
    late = next(one for one in made if one["title"] == "La hora que no existió")
    assert (late["start_at"], late["end_at"]) == ("2031-09-07T04:00:00Z", "2031-09-07T04:45:00Z")
    first = made[0]
    assert first["title"] == "Un país de eventos"
    assert [one["full_name"] for one in first["speakers"]] == ["Jürgen Groß", "María José Ñáñez"]
    assert first["description"].startswith(
        "Short introduction; no previous knowledge needed.\n\nMás detalles"
    )


def test_the_same_again_changes_nothing_in_either_format(me: Caller, conference: Event) -> None:
    take_in(me, conference, CONFERENCE[XML], XML)
    before = sessions(me, conference)
    assert counts(take_in(me, conference, CONFERENCE[XML], "text/xml; charset=utf-8")) == (0, 0, TALKS)
    assert counts(take_in(me, conference, CONFERENCE[JSON])) == (0, 0, TALKS)
    assert sessions(me, conference) == before


def normal(xml: bytes) -> str:
    """Return a schedule without its ids and what is made of them."""
    ids = rb' id="\d+"|<(version|slug|url)>.*?</\1>'
    return re.sub(ids, b"", xml).decode()


def test_a_round_trip_has_no_difference_but_ids(
    me: Caller, signed_in: SignedIn, anonymous: Caller, make: Factory, conference: Event
) -> None:
    take_in(me, conference, CONFERENCE[JSON])
    make.session(conference, title="Sin sala", start_at=conference.start_at, end_at=conference.end_at)
    first = anonymous.get(f"/events/{conference.id}/schedule.xml")
    other = make.user()
    copy = make.event(other, **OF_THE_CONFERENCE)
    assert counts(take_in(signed_in(other), copy, first.content, XML)) == (TALKS + 1, 0, 0)
    second = anonymous.get(f"/events/{copy.id}/schedule.xml")
    assert normal(second.content) == normal(first.content)
    assert first.content != second.content


def test_a_session_is_changed_by_its_guid_and_others_stay(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    known = make.session(event, title="Old", speakers=(make.speaker(owner),), **at(event, 1))
    stays = make.session(event, title="Stays", **at(event, 1))
    plan = talk(event, 5, guid=str(known.guid).upper(), title="New", room="Aula", description="Text")
    assert counts(take_in(me, event, schedule(plan))) == (0, 1, 0)
    changed = me.get(f"/sessions/{known.id}").json()
    assert (changed["title"], changed["description"], changed["room"]) == ("New", "Text", "Aula")
    assert (changed["start_at"], changed["speakers"]) == (plan["date"], [])
    assert [one["id"] for one in sessions(me, event)] == [stays.id, known.id]


def test_a_guid_of_another_event_is_another_session(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    elsewhere = make.session(make.event(owner), title="Elsewhere")
    plan = talk(event, guid=str(elsewhere.guid), title="Here")
    assert counts(take_in(me, event, schedule(plan))) == (1, 0, 0)
    assert me.get(f"/sessions/{elsewhere.id}").json()["title"] == "Elsewhere"


def test_a_deleted_session_that_is_in_the_schedule_is_on_again(
    me: Caller, anonymous: Caller, make: Factory, event: Event
) -> None:
    session = make.session(event, title="Talk")
    me.delete(f"/sessions/{session.id}")
    assert counts(take_in(me, event, schedule(talk(event, guid=str(session.guid))))) == (0, 1, 0)
    assert [one["id"] for one in sessions(me, event)] == [session.id]
    assert "STATUS:CONFIRMED" in anonymous.get(f"/events/{event.id}/calendar.ics").text


def test_an_edit_by_a_schedule_is_numbered(me: Caller, make: Factory, db: Database, event: Event) -> None:
    session = make.session(event)
    version = session.version
    take_in(me, event, schedule(talk(event, guid=str(session.guid), title="New")))
    db.expire_all()
    assert session.version == version + 1


def test_rooms_are_known_by_name_in_whatever_case(
    me: Caller, make: Factory, db: Database, event: Event
) -> None:
    room = make.room(event, name="Aula")
    plans = [talk(event, n, room=name) for n, name in enumerate(["AULA", "aula", "Ñandú", "ñandú", ""])]
    take_in(me, event, schedule(*plans))
    rooms = db.scalars(select(Room).where(Room.event_id == event.id).order_by(Room.id)).all()
    assert [one.name for one in rooms] == ["Aula", "Ñandú"]
    found = sessions(me, event)
    assert [one["room"] for one in found] == ["Aula", "Aula", "Ñandú", "Ñandú", None]
    assert rooms[0].id == room.id


def test_a_session_that_names_no_room_is_in_the_one_it_is_listed_under(me: Caller, event: Event) -> None:
    plan = schedule(talk(event))
    (day,) = plan["schedule"]["conference"]["days"]
    day["rooms"] = {"Aula": day["rooms"][""]}
    take_in(me, event, plan)
    assert [one["room"] for one in sessions(me, event)] == ["Aula"]


def test_people_are_known_by_guid_then_by_name_and_made_otherwise(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    by_guid = make.speaker(owner, full_name="Renamed since")
    by_name = make.speaker(owner, full_name="Ana")
    make.speaker(full_name="Strange")
    lineup = make.speaker(event=event, full_name="Of the line-up")
    new = str(uuid4())
    persons = [
        {"guid": str(by_guid.guid), "public_name": "Whatever"},
        {"id": 7, "name": "Ana"},
        {"guid": "", "public_name": "Strange"},
        {"guid": str(lineup.guid), "public_name": "Of the line-up"},
        {"guid": new, "public_name": "New"},
        {"guid": new, "public_name": "New"},
    ]
    take_in(me, event, schedule(talk(event, persons=persons)))
    (session,) = sessions(me, event)
    found = {one["full_name"]: db.get_one(Speaker, one["id"]) for one in session["speakers"]}
    assert sorted(found) == ["Ana", "New", "Of the line-up", "Renamed since", "Strange"]
    assert (found["Renamed since"].id, found["Ana"].id) == (by_guid.id, by_name.id)
    assert found["Of the line-up"].id == lineup.id
    assert (found["Strange"].created_by, found["New"].created_by) == (owner.id, owner.id)
    assert found["New"].guid == UUID(new)


def test_a_strangers_speaker_is_not_taken_by_guid(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    theirs = make.speaker(full_name="Ana")
    person = {"guid": str(theirs.guid), "public_name": "Ana"}
    take_in(me, event, schedule(talk(event, persons=[person])))
    ((speaker,),) = [one["speakers"] for one in sessions(me, event)]
    assert speaker["id"] != theirs.id
    assert counts(take_in(me, event, schedule(talk(event, 2, persons=[person])))) == (1, 0, 0)
    mine = select(func.count()).where(Speaker.created_by == owner.id)
    assert db.scalar(mine) == 1


def test_two_people_of_one_name_with_guids_of_their_own_are_two(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    make.speaker(owner, full_name="Ana")
    plans = [
        talk(event, persons=[{"guid": str(uuid4()), "public_name": "Ana"}], room=f"Aula {n}")
        for n in range(2)
    ]
    assert counts(take_in(me, event, schedule(*plans))) == (2, 0, 0)
    assert counts(take_in(me, event, schedule(*plans))) == (0, 0, 2)


def test_the_abstract_and_what_is_said_beside_it_are_the_description(me: Caller, event: Event) -> None:
    texts = [("A", "D"), ("A", None), (None, "D"), ("S", "S"), (None, ""), (" A ", "\r\nD")]
    plans = [talk(event, n, abstract=a, description=d) for n, (a, d) in enumerate(texts)]
    take_in(me, event, schedule(*plans))
    expected = ["A\n\nD", "A", "D", "S", None, "A\n\nD"]
    assert [one["description"] for one in sessions(me, event)] == expected


def test_two_sessions_swap_their_times(me: Caller, make: Factory, owner: User, event: Event) -> None:
    room, speaker = make.room(event, name="Aula"), make.speaker(owner, full_name="Ana")
    first = make.session(event, title="Talk", room=room, speakers=(speaker,), **at(event, 1))
    second = make.session(event, title="Talk", room=room, speakers=(speaker,), **at(event, 2))
    persons = [{"public_name": "Ana"}]
    plan = schedule(
        talk(event, 2, guid=str(first.guid), room="Aula", persons=persons),
        talk(event, 1, guid=str(second.guid), room="Aula", persons=persons),
    )
    assert counts(take_in(me, event, plan)) == (0, 2, 0)
    assert [one["id"] for one in sessions(me, event)] == [second.id, first.id]


def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    known = make.session(event, title="Old")
    same = make.session(event, title="Talk", **at(event, 5))
    everything = select(
        *(select(func.count()).select_from(kind).scalar_subquery() for kind in (Session, Room, Speaker))
    )
    before = db.execute(everything).one()
    plan = schedule(
        talk(event, guid=str(known.guid), persons=[{"name": "New"}], room="New"),
        talk(event, 5, guid=str(same.guid)),
        talk(event, 7),
    )
    assert counts(take_in(me, event, plan, dry_run=True)) == (1, 1, 1)
    assert db.execute(everything).one() == before
    assert me.get(f"/sessions/{known.id}").json()["title"] == "Old"
    assert counts(take_in(me, event, plan)) == (1, 1, 1)


# What stands in the way


def outlined(session: Session, **more: Any) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "title": session.title,
        "start_at": z(session.start_at),
        "end_at": z(session.end_at),
        "room": None,
        "speaker_ids": [],
        **more,
    }


def planned(plan: dict[str, Any], **more: Any) -> dict[str, Any]:
    start_at = datetime.fromisoformat(plan["date"])
    return {
        "session_id": None,
        "guid": plan["guid"],
        "title": plan["title"],
        "start_at": plan["date"],
        "end_at": z(start_at + HOUR),
        "room": plan.get("room"),
        "speaker_ids": [],
        **more,
    }


def test_each_clash_is_named_and_nothing_is_written(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    aula = make.room(event, name="Aula")
    ana = make.speaker(owner, full_name="Ana")
    in_room = make.session(event, title="In the room", room=aula, **at(event, 1))
    elsewhere = make.session(make.event(owner), title="Elsewhere", speakers=(ana,), **at(event, 3))
    hidden = make.session(
        make.event(status=EventStatus.DRAFT), title="Secret", speakers=(ana,), **at(event, 7)
    )
    taken = talk(event, 1, room="Aula", title="Taken")
    busy = talk(event, 3, persons=[{"public_name": "Ana"}], title="Busy")
    secret = talk(event, 7, persons=[{"public_name": "Ana"}], title="Secretly busy")
    new: dict[str, Any] = {"persons": [{"public_name": "New"}]}
    one, other = (talk(event, 5, room="New", title=title, **new) for title in ("One", "Other"))
    outside = talk(event, 72, title="Outside")
    plan = schedule(taken, busy, secret, one, other, outside, talk(event, 9))
    response = take_in(me, event, plan)
    assert refused(response) == (409, "schedule-conflict")
    conflicts = response.json()["conflicts"]
    assert conflicts == [
        {
            "kind": "session-outside-event",
            "sessions": [planned(outside)],
            "conflicts": [],
            "people": None,
        },
        {
            "kind": "room-taken",
            "sessions": [planned(taken)],
            "conflicts": [outlined(in_room, room="Aula")],
            "people": None,
        },
        {"kind": "room-taken", "sessions": [planned(one), planned(other)], "conflicts": [], "people": None},
        {
            "kind": "speaker-busy",
            "sessions": [planned(busy, speaker_ids=[ana.id])],
            "conflicts": [outlined(elsewhere, speaker_ids=[ana.id])],
            "people": None,
        },
        {
            "kind": "speaker-busy",
            "sessions": [planned(secret, speaker_ids=[ana.id])],
            "conflicts": [{"start_at": z(hidden.start_at), "end_at": z(hidden.end_at)}],
            "people": None,
        },
        {"kind": "speaker-busy", "sessions": [planned(one), planned(other)], "conflicts": [], "people": None},
    ]
    assert [one["id"] for one in sessions(me, event)] == [in_room.id]
    assert db.scalars(select(Room.name).where(Room.event_id == event.id)).all() == ["Aula"]
    dry = take_in(me, event, plan, dry_run=True)
    assert (counts(dry), dry.json()["conflicts"]) == ((7, 0, 0), conflicts)


def test_a_room_that_is_too_small_is_named(me: Caller, make: Factory, event: Event) -> None:
    make.room(event, name="Small", capacity=10)
    make.room(event, name="Large", capacity=100)
    session = make.session(event, own_capacity=50)
    plan = talk(event, guid=str(session.guid), room="Small")
    (conflict,) = take_in(me, event, schedule(plan), dry_run=True).json()["conflicts"]
    assert (conflict["kind"], conflict["conflicts"]) == ("room-too-small", [])
    assert counts(take_in(me, event, schedule({**plan, "room": "Large"}))) == (0, 1, 0)


def test_an_agenda_that_would_break_is_named_with_how_many_people(
    me: Caller, make: Factory, event: Event
) -> None:
    stays = make.session(event, title="Stays", **at(event, 1))
    moves = make.session(event, title="Talk", **at(event, 3))
    for guest in (make.registered(event), make.registered(event)):
        make.seat(stays, guest)
        make.seat(moves, guest)
    plan = talk(event, 1.5, guid=str(moves.guid))
    response = take_in(me, event, schedule(plan))
    assert refused(response) == (409, "schedule-conflict")
    (conflict,) = response.json()["conflicts"]
    assert (conflict["kind"], conflict["people"]) == ("agenda-conflict", 2)
    assert conflict["sessions"] == [planned(plan, session_id=moves.id)]
    assert conflict["conflicts"] == [outlined(stays)]


def test_rooms_that_allow_it_hold_parallel_sessions(me: Caller, make: Factory, event: Event) -> None:
    make.room(event, name="Patio", allow_parallel=True)
    assert counts(take_in(me, event, schedule(*(talk(event, room="Patio") for _ in range(3))))) == (3, 0, 0)


# What is no schedule

ONE = "/schedule/conference/days/0/rooms/Aula/0"


def bad(**fields: Any) -> dict[str, Any]:
    good = {"guid": str(uuid4()), "title": "T", "date": "2031-03-01T09:00:00Z", "duration": "01:00"}
    return schedule({**good, "room": "Aula", **fields})


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ("", ["/"]),
        ("{", ["/"]),
        ("\ud83d".encode("utf-8", "surrogatepass"), ["/"]),
        (b"\xff", ["/"]),
        ("[" * 100_000, ["/"]),
        ("null", ["/"]),
        ("[]", ["/"]),
        ({}, ["/schedule"]),
        ({"schedule": None}, ["/schedule"]),
        ({"schedule": {}}, ["/schedule/conference"]),
        ({"schedule": {"conference": {}}}, ["/schedule/conference/days"]),
        ({"schedule": {"conference": {"days": [{"rooms": []}]}}}, ["/schedule/conference/days/0/rooms"]),
        (bad(title=""), [f"{ONE}/title"]),
        (bad(title="x" * 256), [f"{ONE}/title"]),
        (bad(title=7), [f"{ONE}/title"]),
        (bad(guid="7"), [f"{ONE}/guid"]),
        (bad(guid=None), [f"{ONE}/guid"]),
        (bad(date="2031-03-01T09:00:00"), [f"{ONE}/date"]),
        (bad(date="2031-03-01"), [f"{ONE}/date"]),
        (bad(date="1969-12-31T23:00:00Z"), [f"{ONE}/date"]),
        (bad(date="9999-12-31T23:00:00Z"), [f"{ONE}/date"]),
        (bad(duration="00:00"), [f"{ONE}/duration"]),
        (bad(date="2199-12-31T00:00:00Z", duration="25:00"), [f"{ONE}/duration"]),
        (bad(duration="9999999999999:00"), [f"{ONE}/duration"]),
        (bad(duration="-01:00"), [f"{ONE}/duration"]),
        (bad(duration="1:75"), [f"{ONE}/duration"]),
        (bad(duration="\u0660\u0661:\u0660\u0660"), [f"{ONE}/duration"]),
        (bad(duration=60), [f"{ONE}/duration"]),
        (bad(duration=None), [f"{ONE}/duration"]),
        (bad(description="x" * 10_001), [f"{ONE}/description"]),
        (bad(abstract="x" * 6_000, description="y" * 6_000), [ONE]),
        (bad(room="x" * 101), ["/schedule/conference/days/0/rooms/x"] * 2),
        (bad(persons=[{}]), [f"{ONE}/persons/0/public_name"]),
        (bad(persons=[{"public_name": ""}]), [f"{ONE}/persons/0/public_name"]),
        (bad(persons=[{"public_name": "A", "guid": "x"}]), [f"{ONE}/persons/0/guid"]),
        (bad(persons=[{"public_name": "A"}] * 51), [f"{ONE}/persons"]),
        (bad(title="\ud83d"), ["/"]),
    ],
)
def test_a_fault_in_json_is_named(me: Caller, event: Event, body: Any, pointers: list[str]) -> None:
    response = take_in(me, event, body)
    assert refused(response) == (422, "invalid-request")
    found = [fault["pointer"] for fault in response.json()["errors"]]
    assert len(found) == len(pointers)
    assert all(one.startswith(pointer) for one, pointer in zip(found, pointers, strict=True)), found


def test_a_guid_that_is_there_twice_is_named(me: Caller, event: Event) -> None:
    plan = talk(event)
    response = take_in(me, event, schedule(plan, talk(event, 3), {**plan, "date": z(soon())}))
    assert refused(response) == (422, "invalid-request")
    assert plan["guid"] in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "not well-formed"),
        ("<schedule>", "not well-formed"),
        ("<rss/>", "'rss' and not 'schedule'"),
        ("<schedule/>", "/schedule/conference: this is required"),
        ('<!DOCTYPE s [<!ENTITY e "x">]><schedule>&e;</schedule>', "document type"),
        ('<!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]><schedule>&e;</schedule>', "document type"),
        (EXAMPLE_XML.replace("<duration>01:00", "<duration>soon"), "/duration: write a duration as HH:MM"),
        (EXAMPLE_XML.replace("guid=", "id="), "/guid: "),
        (EXAMPLE_XML.replace("<date>", "<day>").replace("</date>", "</day>"), "/date: this is required"),
    ],
)
def test_a_fault_in_xml_is_named(me: Caller, event: Event, body: str, words: str) -> None:
    response = take_in(me, event, body, XML)
    assert refused(response) == (422, "invalid-request")
    assert words in response.json()["detail"]


def test_of_many_faults_the_first_hundred_are_named(me: Caller, event: Event) -> None:
    response = take_in(me, event, schedule(*(talk(event, duration="") for _ in range(300))))
    assert (refused(response), len(response.json()["errors"])) == ((422, "invalid-request"), 100)


@pytest.mark.parametrize(
    "media", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_media_type_is_refused(me: Caller, event: Event, media: str) -> None:
    assert refused(take_in(me, event, EXAMPLE, media)) == (415, "unsupported-media-type")


def test_a_file_of_some_megabytes_is_taken_and_one_of_five_is_not(me: Caller, event: Event) -> None:
    padded = {**schedule(talk(event)), "more": "x" * 4_000_000}
    assert counts(take_in(me, event, padded)) == (1, 0, 0)
    padded["more"] = "x" * 5_000_000
    assert refused(take_in(me, event, padded)) == (413, "content-too-large")


END = b"</room></day></schedule>"
HOSTILE = {
    "days": b'{"schedule":{"conference":{"days":[' + b"1," * 2_000_000 + b"1]}}}",
    "talks": b'{"schedule":{"conference":{"days":[{"rooms":{"a":[' + b"{}," * 1_300_000 + b"{}]}}]}}}",
    "elements": b"<schedule>" + b"<a/>" * 1_000_000 + b"</schedule>",
    "events": b'<schedule><conference/><day><room name="a">'
    + b"<event/>" * 140_000
    + b"</room></day></schedule>",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_names_too_much_is_refused_before_it_is_looked_at(
    me: Caller, event: Event, kind: str
) -> None:
    began = time.process_time()
    answer = take_in(me, event, HOSTILE[kind].decode(), JSON if kind in {"days", "talks"} else XML)
    # Looked at in full, the worst of them would take more than a minute.
    assert time.process_time() - began < 5
    assert refused(answer) == (422, "invalid-request")
    assert " more than " in answer.json()["detail"]


def test_nobody_is_read_without_a_token(anonymous: Caller, event: Event) -> None:
    assert refused(take_in(anonymous, event, "{", "text/plain")) == (401, "unauthorized")


@pytest.mark.parametrize(("body", "media"), [(EXAMPLE, JSON), (EXAMPLE_XML, XML)])
def test_the_examples_are_taken_in(me: Caller, make: Factory, owner: User, body: Any, media: str) -> None:
    event = make.event(
        owner,
        start_at=datetime.fromisoformat("2031-03-01T00:00:00-05:00"),
        end_at=datetime.fromisoformat("2031-03-02T00:00:00-05:00"),
    )
    assert counts(take_in(me, event, body, media)) == (1, 0, 0)


# Large ones


def crowd(event: Event, count: int, rooms: int = 20) -> dict[str, Any]:
    slot = timedelta(minutes=45)
    return schedule(
        *(
            {
                "guid": str(uuid4()),
                "title": f"Talk {n}",
                "date": z(event.start_at + n // rooms * slot),
                "duration": "00:45",
                "room": f"Room {n % rooms}",
                "persons": [{"public_name": f"Speaker {n % (rooms * 5)}"}],
            }
            for n in range(count)
        )
    )


def test_a_schedule_is_taken_in_by_as_many_statements_whatever_it_holds(
    me: Caller, make: Factory, owner: User, statements: list[str]
) -> None:
    made, changed = set(), set()
    for count in (2, 60):
        event = make.event(owner, start_at=soon(100 + count), end_at=soon(110 + count))
        plan = crowd(event, count)
        path = f"/events/{event.id}/schedule"
        statements.clear()
        assert counts(me.post(path, json=plan)) == (count, 0, 0)
        made.add(len(statements))
        for room in plan["schedule"]["conference"]["days"][0]["rooms"].values():
            for one in room:
                one["title"] += ", again"
        statements.clear()
        assert counts(me.post(path, json=plan)) == (0, count, 0)
        changed.add(len(statements))
    assert (made, changed) == ({22}, {20})


def test_a_thousand_sessions_are_taken_in_within_seconds(me: Caller, make: Factory, owner: User) -> None:
    event = make.event(owner, start_at=soon(30), end_at=soon(33))
    plan = crowd(event, 1_000)
    began = time.perf_counter()
    assert counts(take_in(me, event, plan)) == (1_000, 0, 0)
    assert time.perf_counter() - began < 10
