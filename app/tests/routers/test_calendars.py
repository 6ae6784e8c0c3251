"""Calendars over HTTP: an event's for all, one's own under a secret address."""

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import ics
import pytest
from sqlalchemy import text

from app.core.database import Database
from app.models import CalendarFeed, Event, Registration, Session, User
from app.models.enums import EventStatus, RegistrationStatus, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import HOUR, Factory
from app.tests.routers.conftest import SignedIn, at, refused, sent


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner, name="Encuentro", venue="Ágora", timezone="Europe/Madrid")


@pytest.fixture
def session(make: Factory, db: Database, owner: User, event: Event) -> Session:
    session = make.session(event, room=make.room(event), speakers=(make.speaker(owner),))
    db.refresh(session, ["speakers"])
    return session


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def entries(response: Any) -> dict[str, Any]:
    """Return the entries of a calendar, as another library reads them, by what they are called."""
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/calendar; charset=utf-8"
    return {entry.name: entry for entry in ics.Calendar(response.text).events}


def statuses(response: Any) -> dict[str, str]:
    return {name: entry.status for name, entry in entries(response).items()}


def sequence(response: Any, name: str) -> int:
    return int(next(line.value for line in entries(response)[name].extra if line.name == "SEQUENCE"))


def calendar_of(event: Event) -> str:
    return f"/events/{event.id}/calendar.ics"


def path_of(url: str) -> str:
    """Return an address as the caller takes it."""
    return url.partition(PREFIX)[2]


# An event's


def test_each_session_is_an_entry(anonymous: Caller, make: Factory, owner: User, event: Event) -> None:
    speakers = tuple(make.speaker(owner, full_name=name) for name in ("Zoë", "Ana"))
    session = make.session(
        event, room=make.room(event, name="Aula"), speakers=speakers, title="Charla", description="<p>Sí</p>"
    )
    make.session(event, title="Sola", **at(event, 5))
    found = entries(anonymous.get(calendar_of(event)))
    assert sorted(found) == ["Charla", "Sola"]
    entry = found["Charla"]
    assert entry.uid == f"{session.guid}@mis-eventos"
    assert (entry.begin.datetime, entry.end.datetime) == (session.start_at, session.end_at)
    assert (entry.location, entry.description) == ("Aula, Ágora", "Ana, Zoë\n\n<p>Sí</p>")
    assert entry.last_modified.datetime == session.updated_at.replace(microsecond=0)
    assert (found["Sola"].location, found["Sola"].description) == ("Ágora", None)


def test_an_event_without_sessions_is_an_entry(anonymous: Caller, make: Factory, event: Event) -> None:
    (entry,) = entries(anonymous.get(calendar_of(event))).values()
    assert (entry.name, entry.uid) == ("Encuentro", f"{event.guid}@mis-eventos")
    assert (entry.begin.datetime, entry.end.datetime) == (event.start_at, event.end_at)
    make.session(event, title="Charla")
    assert statuses(anonymous.get(calendar_of(event))) == {"Charla": "CONFIRMED"}


def test_a_deleted_session_stays_as_cancelled(
    anonymous: Caller, me: Caller, make: Factory, event: Event
) -> None:
    session = make.session(event, title="Charla")
    before = anonymous.get(calendar_of(event))
    assert me.delete(f"/sessions/{session.id}").status_code == 204
    after = anonymous.get(calendar_of(event))
    assert statuses(after) == {"Charla": "CANCELLED", "Encuentro": "CONFIRMED"}
    assert entries(after)["Charla"].uid == entries(before)["Charla"].uid
    assert sequence(after, "Charla") > sequence(before, "Charla")


@pytest.mark.parametrize("end", ["cancelled", "deleted"])
def test_whoever_subscribed_learns_that_an_event_is_off(
    anonymous: Caller, me: Caller, make: Factory, event: Event, end: str
) -> None:
    make.session(event, title="Charla")
    before = anonymous.get(calendar_of(event))
    if end == "cancelled":
        me.patch(f"/events/{event.id}", json={"status": "CANCELLED"})
    else:
        me.delete(f"/events/{event.id}")
    after = anonymous.get(calendar_of(event))
    assert statuses(after) == {"Charla": "CANCELLED"}
    assert sequence(after, "Charla") > sequence(before, "Charla")


def test_a_draft_that_is_deleted_is_still_shown_to_nobody_else(
    anonymous: Caller, me: Caller, signed_in: SignedIn, make: Factory, owner: User
) -> None:
    draft = make.event(owner, name="Secreto", status=EventStatus.DRAFT)
    staff = signed_in(make.member(draft, TeamRole.STAFF))
    assert statuses(staff.get(calendar_of(draft))) == {"Secreto": "TENTATIVE"}
    assert me.delete(f"/events/{draft.id}").status_code == 204
    for caller in (anonymous, signed_in(make.user())):
        assert refused(caller.get(calendar_of(draft))) == (404, "not-found")
    assert statuses(staff.get(calendar_of(draft))) == {"Secreto": "CANCELLED"}


def test_no_event_has_no_calendar(anonymous: Caller) -> None:
    assert refused(anonymous.get("/events/2147483647/calendar.ics")) == (404, "not-found")


EDITS: dict[str, Callable[[Caller, Event, Session], Any]] = {
    "its title": lambda me, _, s: me.patch(f"/sessions/{s.id}", json={"title": "Charla"}),
    "its time": lambda me, e, s: me.patch(f"/sessions/{s.id}", json=sent(at(e, 3))),
    "its room": lambda me, _, s: me.patch(f"/sessions/{s.id}", json={"room": "Otra"}),
    "its speakers": lambda me, _, s: me.patch(f"/sessions/{s.id}", json={"speaker_ids": []}),
    "the room's name": lambda me, _, s: me.patch(f"/rooms/{s.room_id}", json={"name": "Otra"}),
    "a speaker's name": lambda me, _, s: me.patch(
        f"/speakers/{s.speakers[0].id}", json={"full_name": "Otra"}
    ),
    "the event's venue": lambda me, e, _: me.patch(f"/events/{e.id}", json={"venue": "Otro"}),
    "the event's zone": lambda me, e, _: me.patch(f"/events/{e.id}", json={"timezone": "UTC"}),
}


@pytest.mark.parametrize("edited", EDITS)
def test_the_sequence_grows_with_every_change_that_is_shown(
    anonymous: Caller, me: Caller, event: Event, session: Session, edited: str
) -> None:
    before = anonymous.get(calendar_of(event))
    assert EDITS[edited](me, event, session).status_code == 200
    after = anonymous.get(calendar_of(event))
    (old,), (new,) = entries(before), entries(after)
    assert before.content != after.content
    assert sequence(after, new) > sequence(before, old)


def test_a_place_that_is_sold_changes_nothing(
    anonymous: Caller, signed_in: SignedIn, make: Factory, event: Event
) -> None:
    before = anonymous.get(calendar_of(event))
    signed_in(make.user()).post(f"/registrations/events/{event.id}")
    assert anonymous.get(calendar_of(event)).content == before.content


def test_who_has_the_calendar_is_told_so(anonymous: Caller, me: Caller, make: Factory, event: Event) -> None:
    make.session(event)
    first = anonymous.get(calendar_of(event))
    known = {"If-None-Match": first.headers["etag"]}
    again = anonymous.get(calendar_of(event), headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    me.patch(f"/events/{event.id}", json={"name": "Otro"})
    changed = anonymous.get(calendar_of(event), headers=known)
    assert (changed.status_code, changed.headers["etag"] == first.headers["etag"]) == (200, False)


@pytest.mark.parametrize("sessions", [1, 3])
def test_a_calendar_takes_as_many_queries_for_many_sessions_as_for_one(
    anonymous: Caller, make: Factory, event: Event, statements: list[str], sessions: int
) -> None:
    for n in range(sessions):
        make.session(event, room=make.room(event), speakers=(make.speaker(),), **at(event, n))
    path = calendar_of(event)
    statements.clear()
    assert anonymous.get(path).status_code == 200
    assert len(statements) == 3


# One's own


def open_feed(caller: Caller) -> str:
    response = caller.post("/users/me/calendar")
    assert response.status_code == 201
    return path_of(response.json()["url"])


def test_an_address_is_made_and_only_its_digest_is_kept(me: Caller, db: Database, owner: User) -> None:
    response = me.post("/users/me/calendar", headers={"Idempotency-Key": "again"})
    made = response.json()
    token = made["url"].removeprefix(f"http://testserver{PREFIX}/calendars/").removesuffix(".ics")
    assert (response.status_code, sorted(made), len(token)) == (201, ["created_at", "url"], 43)
    feed = db.get_one(CalendarFeed, owner.id)
    assert feed.token_digest == sha256(token.encode()).digest()
    kept = db.scalars(text("SELECT CAST(k AS text) FROM idempotency_keys AS k"))
    assert list(kept) == []


def test_a_new_address_ends_the_old_one(me: Caller, anonymous: Caller) -> None:
    old, new = open_feed(me), open_feed(me)
    assert old != new
    assert refused(anonymous.get(old)) == (404, "not-found")
    assert anonymous.get(new).status_code == 200


@pytest.mark.parametrize("token", ["nobodys", "x" * 5_000, "%00", "%F0%9F", "ñ", "%2E%2E"])
def test_an_address_that_was_never_made_leads_nowhere(anonymous: Caller, token: str) -> None:
    assert refused(anonymous.get(f"/calendars/{token}.ics")) == (404, "not-found")


def test_an_account_that_is_switched_off_has_no_calendar(
    me: Caller, anonymous: Caller, db: Database, owner: User
) -> None:
    path = open_feed(me)
    owner.is_active = False
    db.commit()
    assert refused(anonymous.get(path)) == (404, "not-found")


def test_a_token_of_the_account_opens_it_no_more_than_none(me: Caller, anonymous: Caller) -> None:
    path = open_feed(me)
    assert me.get(path).content == anonymous.get(path).content
    bad = {"Authorization": "Bearer nonsense"}
    assert anonymous.get(path, headers=bad).status_code == 200


def test_the_token_is_in_no_log_line(me: Caller, anonymous: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="app.access")
    path = open_feed(me)
    for _ in range(2):
        anonymous.get(path)
        open_feed(me)
    anonymous.get(path, headers={"If-None-Match": "*"})
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    lines = [f"{record.getMessage()} {vars(record)}" for record in ours]
    assert any(f"GET {PREFIX}/calendars/{{token}}.ics 404" in line for line in lines)
    token = path.removeprefix("/calendars/").removesuffix(".ics")
    assert [line for line in lines if token in line] == []


def test_my_calendar_has_the_events_i_go_to_and_what_i_wait_for(
    me: Caller, anonymous: Caller, make: Factory, owner: User
) -> None:
    events = {status: make.event(name=status.value) for status in RegistrationStatus}
    for status, event in events.items():
        make.registration(event, owner, status=status)
    make.event(name="Not mine")
    response = anonymous.get(open_feed(me))
    assert statuses(response) == {
        "CONFIRMED": "CONFIRMED",
        "WAITLISTED": "TENTATIVE",
        "CANCELLED": "CANCELLED",
    }
    assert response.headers["cache-control"] == "private, no-cache"
    assert {entry.uid for entry in entries(response).values()} == {
        f"{event.guid}@mis-eventos" for event in events.values()
    }


def test_my_calendar_has_the_sessions_i_have_seats_in(
    me: Caller, anonymous: Caller, make: Factory, owner: User, event: Event
) -> None:
    make.registration(event, owner)
    held = make.session(event, title="Held")
    given_up = make.session(event, title="Given up", **at(event, 2))
    make.session(event, title="Not mine", **at(event, 4))
    make.seat(held, owner)
    make.seat(given_up, owner, given_up_at=event.created_at)
    path = open_feed(me)
    expected = {"Encuentro": "CONFIRMED", "Held": "CONFIRMED", "Given up": "CANCELLED"}
    assert statuses(anonymous.get(path)) == expected
    # The place goes, and the seat with it.
    assert me.delete(f"/registrations/events/{event.id}").status_code == 204
    assert statuses(anonymous.get(path)) == dict.fromkeys(expected, "CANCELLED")


def test_an_event_that_is_off_is_told_to_who_goes_there(
    me: Caller, anonymous: Caller, make: Factory, signed_in: SignedIn, event: Event
) -> None:
    guest = make.user()
    make.registration(event, guest)
    path = open_feed(signed_in(guest))
    before = anonymous.get(path)
    me.delete(f"/events/{event.id}")
    after = anonymous.get(path)
    assert statuses(after) == {"Encuentro": "CANCELLED"}
    assert sequence(after, "Encuentro") > sequence(before, "Encuentro")


def test_my_sequence_grows_with_what_becomes_of_my_place(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    path = open_feed(me)
    seen = []
    for _ in range(2):
        registration = make.registration(event, owner, status=RegistrationStatus.WAITLISTED)
        seen.append(sequence(me.get(path), "Encuentro"))
        for status in (RegistrationStatus.CONFIRMED, RegistrationStatus.CANCELLED):
            db.get_one(Registration, registration.id).status = status
            db.commit()
            seen.append(sequence(me.get(path), "Encuentro"))
    assert seen == sorted(set(seen))


def test_two_sessions_with_one_guid_are_two_entries(
    me: Caller, anonymous: Caller, make: Factory, owner: User, event: Event
) -> None:
    again = make.event(name="Otra vez", start_at=event.end_at, end_at=event.end_at + 5 * HOUR)
    first = make.session(event, title="Charla")
    second = make.session(again, title="Charla, otra vez", guid=first.guid)
    for session, where in ((first, event), (second, again)):
        make.registration(where, owner)
        make.seat(session, owner)
    found = entries(anonymous.get(open_feed(me)))
    assert found["Charla"].uid == f"{first.guid}@mis-eventos"
    assert found["Charla, otra vez"].uid == f"{first.guid}-{again.id}@mis-eventos"


def test_who_has_my_calendar_is_told_so(me: Caller, anonymous: Caller, make: Factory, owner: User) -> None:
    path = open_feed(me)
    make.registration(make.event(), owner)
    tag = anonymous.get(path).headers["etag"]
    assert anonymous.get(path, headers={"If-None-Match": tag}).status_code == 304
    make.registration(make.event(), owner)
    assert anonymous.get(path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("events", [1, 3])
def test_my_calendar_takes_as_many_queries_for_many_events_as_for_one(
    me: Caller, make: Factory, owner: User, statements: list[str], events: int
) -> None:
    for n in range(events):
        event = make.event(start_at=owner.created_at + n * HOUR, end_at=owner.created_at + (n + 1) * HOUR)
        make.registration(event, owner)
        speakers = (make.speaker(owner),)
        make.seat(make.session(event, room=make.room(event), speakers=speakers), owner)
    path = open_feed(me)
    statements.clear()
    assert me.get(path).status_code == 200
    assert len(statements) == 4
