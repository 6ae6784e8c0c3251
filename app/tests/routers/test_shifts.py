"""Events that take their sessions along: to another time, or to the same time of day in another zone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.models import Event, User
from app.models.enums import EventStatus
from app.tests.conftest import Caller
from app.tests.factories import DAY, HOUR, Factory
from app.tests.routers.conftest import SignedIn, at, refused, sent, z

SHIFT = "?shift_sessions=true"
LOCAL = "?keep=local"


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner)


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def moved(text: str, by: timedelta) -> str:
    return z(datetime.fromisoformat(text) + by)


def times(document: dict[str, Any]) -> tuple[str, str]:
    return document["start_at"], document["end_at"]


# Another time


@pytest.mark.parametrize("by", [-365 * DAY, -HOUR, HOUR, 2 * DAY, 365 * DAY])
def test_an_event_takes_its_sessions_along(
    me: Caller, make: Factory, owner: User, event: Event, by: timedelta
) -> None:
    room, speaker, attendee = make.room(event), make.speaker(owner), make.registered(event)
    sessions = [
        make.session(event, room=room, speakers=(speaker,), **at(event, hour)) for hour in (0, 1, 70, 71)
    ]
    for session in sessions:
        make.seat(session, attendee)
    deleted = make.session(event, deleted_at=event.start_at)
    stayed = deleted.start_at
    before = me.get(f"/events/{event.id}").json()
    response = me.patch(f"/events/{event.id}{SHIFT}", json={"start_at": moved(before["start_at"], by)})
    assert response.status_code == 200
    after = response.json()
    assert times(after) == (moved(before["start_at"], by), moved(before["end_at"], by))
    assert after["sessions"] == [
        {**session, "start_at": moved(session["start_at"], by), "end_at": moved(session["end_at"], by)}
        for session in before["sessions"]
    ]
    make.db.refresh(deleted)
    assert deleted.start_at == stayed


def test_a_shift_leaves_the_registration_window_and_takes_an_end_that_is_given(
    me: Caller, make: Factory, owner: User
) -> None:
    event = make.event(owner)
    window = {"registration_opens_at": z(event.start_at - DAY), "registration_closes_at": z(event.start_at)}
    me.patch(f"/events/{event.id}", json=window)
    before = times(me.get(f"/sessions/{make.session(event).id}").json())
    given = {"start_at": z(event.start_at + DAY), "end_at": z(event.start_at + DAY + 2 * HOUR), "name": "New"}
    after = me.patch(f"/events/{event.id}{SHIFT}", json=given).json()
    assert {name: after[name] for name in {**window, **given}} == {**window, **given}
    assert times(after["sessions"][0]) == (moved(before[0], DAY), moved(before[1], DAY))


def test_without_a_new_start_there_is_nothing_to_shift(me: Caller, make: Factory, event: Event) -> None:
    session = make.session(event)
    for change in ({"end_at": z(event.end_at + DAY)}, {"start_at": z(event.start_at)}, {"name": "New"}):
        after = me.patch(f"/events/{event.id}{SHIFT}", json=change).json()
        assert times(after["sessions"][0]) == (z(session.start_at), z(session.end_at))
    assert times(after) == (z(event.start_at), z(event.end_at + DAY))


def test_an_end_that_would_leave_shifted_sessions_outside_is_refused_with_them(
    me: Caller, make: Factory, event: Event
) -> None:
    make.session(event)
    last = make.session(event, title="Last", **at(event, 71))
    path = f"/events/{event.id}{SHIFT}"
    response = me.patch(path, json={"start_at": z(event.start_at + HOUR), "end_at": z(event.end_at)})
    assert refused(response) == (409, "session-outside-event")
    assert [session["session_id"] for session in response.json()["sessions"]] == [last.id]
    assert me.get(f"/sessions/{last.id}").json()["start_at"] == z(last.start_at)


def test_a_shift_that_meets_a_speakers_session_of_another_event_is_refused_and_names_it(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    speaker, other, hidden = make.speaker(owner), make.event(owner), make.event(status=EventStatus.DRAFT)
    there = make.session(other, title="There", speakers=(speaker,), **at(other, 48))
    make.session(hidden, speakers=(speaker,), **at(hidden, 49))
    moving = make.session(event, speakers=(speaker,), **at(event, 0, 2))
    before = me.get(f"/events/{event.id}").json()
    response = me.patch(f"/events/{event.id}{SHIFT}", json={"start_at": moved(before["start_at"], 2 * DAY)})
    assert refused(response) == (409, "speaker-busy")
    named, unseen = response.json()["conflicts"]
    assert (named["session_id"], unseen) == (there.id, sent(at(hidden, 49)))
    assert me.get(f"/events/{event.id}").json() == before
    assert me.get(f"/sessions/{moving.id}").json()["start_at"] == z(moving.start_at)


def test_a_shift_that_breaks_an_agenda_is_refused_with_how_many_people(
    me: Caller, make: Factory, event: Event
) -> None:
    other = make.event()
    there, moving = make.session(other, **at(other, 24)), make.session(event)
    for _ in range(2):
        attendee = make.registered(event, other)
        make.seat(there, attendee)
        make.seat(moving, attendee)
    response = me.patch(f"/events/{event.id}{SHIFT}", json={"start_at": z(event.start_at + DAY)})
    assert refused(response) == (409, "agenda-conflict")
    assert [one["session_id"] for one in response.json()["conflicts"]] == [there.id]
    assert response.json()["people"] == 2


# Another zone


def madrid(text: str) -> datetime:
    """Return a winter time of Madrid, where it is an hour later than in UTC."""
    return datetime.fromisoformat(f"{text}+01:00").astimezone(UTC)


@pytest.fixture
def winter(make: Factory, owner: User) -> Event:
    """Make an event in Madrid, from nine in the morning until six, with a registration window."""
    return make.event(
        owner,
        timezone="Europe/Madrid",
        start_at=madrid("2031-01-15T09:00"),
        end_at=madrid("2031-01-15T18:00"),
        registration_opens_at=madrid("2030-12-01T08:00"),
        registration_closes_at=madrid("2031-01-14T20:00"),
    )


def test_a_new_zone_keeps_the_instants(me: Caller, make: Factory, winter: Event) -> None:
    make.session(winter)
    before = me.get(f"/events/{winter.id}").json()
    for suffix in ("", "?keep=instants"):
        after = me.patch(f"/events/{winter.id}{suffix}", json={"timezone": "America/Bogota"}).json()
        assert {**after, "updated_at": ""} == {**before, "timezone": "America/Bogota", "updated_at": ""}


def test_local_times_are_kept_in_a_new_zone_if_wanted(me: Caller, make: Factory, winter: Event) -> None:
    room = make.room(winter)
    make.session(winter, room=room)
    make.session(winter, room=room, **at(winter, 1))
    after = me.patch(f"/events/{winter.id}{LOCAL}", json={"timezone": "America/Bogota"}).json()
    assert times(after) == ("2031-01-15T14:00:00Z", "2031-01-15T23:00:00Z")
    window = after["registration_opens_at"], after["registration_closes_at"]
    assert window == ("2030-12-01T13:00:00Z", "2031-01-15T01:00:00Z")
    assert [times(session) for session in after["sessions"]] == [
        ("2031-01-15T14:00:00Z", "2031-01-15T15:00:00Z"),
        ("2031-01-15T15:00:00Z", "2031-01-15T16:00:00Z"),
    ]
    back = me.patch(f"/events/{winter.id}{LOCAL}", json={"timezone": "Europe/Madrid"}).json()
    assert times(back) == (z(winter.start_at), z(winter.end_at))


def test_what_is_given_counts_and_the_rest_keeps_its_local_time(
    me: Caller, make: Factory, winter: Event
) -> None:
    make.session(winter)
    given = {"timezone": "UTC", "end_at": "2031-01-16T00:00:00Z", "registration_opens_at": None}
    after = me.patch(f"/events/{winter.id}{LOCAL}", json=given).json()
    assert {name: after[name] for name in given} == given
    assert (after["start_at"], after["registration_closes_at"]) == (
        "2031-01-15T09:00:00Z",
        "2031-01-14T20:00:00Z",
    )
    assert times(after["sessions"][0]) == ("2031-01-15T09:00:00Z", "2031-01-15T10:00:00Z")


def test_the_same_zone_again_keeps_everything(me: Caller, make: Factory, owner: User) -> None:
    # Half past two comes twice that night; this is the second time.
    twice = datetime(2031, 10, 26, 1, 30, tzinfo=UTC)
    event = make.event(owner, timezone="Europe/Madrid", start_at=twice, end_at=twice + HOUR)
    make.session(event, start_at=twice, end_at=twice + HOUR)
    after = me.patch(f"/events/{event.id}{LOCAL}", json={"timezone": "Europe/Madrid"}).json()
    assert times(after["sessions"][0]) == times(after) == (z(twice), z(twice + HOUR))


def in_bogota(make: Factory, owner: User, day: str) -> Event:
    """Make an event from midnight to midnight in Bogotá, whose clocks never change."""
    start_at = datetime.fromisoformat(f"{day}T00:00-05:00")
    return make.event(owner, timezone="America/Bogota", start_at=start_at, end_at=start_at + DAY)


def test_at_the_change_to_summer_time_a_session_in_the_hour_that_is_skipped_comes_an_hour_later(
    me: Caller, make: Factory, owner: User
) -> None:
    # In Madrid, 02:00 to 03:00 is skipped.
    event = in_bogota(make, owner, "2031-03-30")
    for hour, hours in ((1, 0.5), (2.25, 0.5), (4, 1)):
        make.session(event, **at(event, hour, hours))
    half_skipped = make.session(event, **at(event, 2.5, 0.75))
    after = me.patch(f"/events/{event.id}{LOCAL}", json={"timezone": "Europe/Madrid"}).json()
    assert times(after) == ("2031-03-29T23:00:00Z", "2031-03-30T22:00:00Z")
    assert [times(session) for session in after["sessions"]] == [
        ("2031-03-30T00:00:00Z", "2031-03-30T00:30:00Z"),
        ("2031-03-30T01:15:00Z", "2031-03-30T01:45:00Z"),
        # It would end at 03:15 and begin at 03:30: it is as long as it was instead.
        ("2031-03-30T01:30:00Z", "2031-03-30T02:15:00Z"),
        ("2031-03-30T02:00:00Z", "2031-03-30T03:00:00Z"),
    ]
    assert after["sessions"][2]["id"] == half_skipped.id


def test_at_the_change_from_summer_time_a_session_in_the_hour_that_comes_twice_is_in_the_first(
    me: Caller, make: Factory, owner: User
) -> None:
    # In Madrid, 02:00 to 03:00 comes twice.
    event = in_bogota(make, owner, "2031-10-26")
    for hour, hours in ((1, 3), (2.5, 0.25), (3, 1)):
        make.session(event, **at(event, hour, hours))
    after = me.patch(f"/events/{event.id}{LOCAL}", json={"timezone": "Europe/Madrid"}).json()
    assert times(after) == ("2031-10-25T22:00:00Z", "2031-10-26T23:00:00Z")
    assert [times(session) for session in after["sessions"]] == [
        ("2031-10-25T23:00:00Z", "2031-10-26T03:00:00Z"),
        ("2031-10-26T00:30:00Z", "2031-10-26T00:45:00Z"),
        ("2031-10-26T02:00:00Z", "2031-10-26T03:00:00Z"),
    ]


def test_sessions_that_would_meet_in_a_room_when_clocks_change_are_refused_and_named(
    me: Caller, make: Factory, owner: User
) -> None:
    event = in_bogota(make, owner, "2031-03-30")
    room = make.room(event)
    skipped = make.session(event, room=room, **at(event, 2))
    next_one = make.session(event, room=room, **at(event, 3))
    response = me.patch(f"/events/{event.id}{LOCAL}", json={"timezone": "Europe/Madrid"})
    assert refused(response) == (409, "room-taken")
    assert [one["session_id"] for one in response.json()["conflicts"]] == [skipped.id, next_one.id]
    assert me.get(f"/events/{event.id}").json()["timezone"] == "America/Bogota"


def test_a_new_zone_and_a_new_start_shift_from_the_same_time_of_day(
    me: Caller, make: Factory, winter: Event
) -> None:
    make.session(winter, **at(winter, 2))
    change = {"timezone": "America/Bogota", "start_at": "2031-01-16T10:00:00-05:00"}
    after = me.patch(f"/events/{winter.id}?keep=local&shift_sessions=true", json=change).json()
    assert times(after) == ("2031-01-16T15:00:00Z", "2031-01-17T00:00:00Z")
    assert times(after["sessions"][0]) == ("2031-01-16T17:00:00Z", "2031-01-16T18:00:00Z")


@pytest.mark.parametrize("query", ["keep=neither", "keep=", "shift_sessions=perhaps"])
def test_a_wish_that_cannot_be_is_named(me: Caller, event: Event, query: str) -> None:
    response = me.patch(f"/events/{event.id}?{query}", json={"name": "New"})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [f"query/{query.partition('=')[0]}"]
