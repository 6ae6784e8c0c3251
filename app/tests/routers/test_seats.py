"""Seats over HTTP: taken, given up, lost with what they depend on, and gathered in an agenda."""

from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.models import Event, Session, User
from app.models.enums import EventStatus, RegistrationStatus, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import DAY, Factory, soon
from app.tests.routers.conftest import SignedIn, at, ids, refused, sent


@pytest.fixture
def event(make: Factory) -> Event:
    return make.event()


@pytest.fixture
def person(make: Factory, event: Event) -> User:
    return make.registered(event)


@pytest.fixture
def me(signed_in: SignedIn, person: User) -> Caller:
    return signed_in(person)


@pytest.fixture
def owner(signed_in: SignedIn, make: Factory, event: Event) -> Caller:
    return signed_in(make.db.get_one(User, event.created_by))


def seat_in(session: Session) -> str:
    return f"/registrations/sessions/{session.id}"


def place_at(event: Event) -> str:
    return f"/registrations/events/{event.id}"


def agenda(caller: Caller) -> list[int]:
    return ids(caller.get("/registrations/me/agenda"))


def left(caller: Caller, session: Session) -> int | None:
    free: int | None = caller.get(f"/sessions/{session.id}").json()["capacity_available"]
    return free


# Taking


def test_a_seat_is_taken_and_the_answer_says_where_its_session_is(
    me: Caller, make: Factory, event: Event, person: User
) -> None:
    session = make.session(event, own_capacity=2)
    response = me.post(seat_in(session))
    assert response.status_code == 201
    taken = response.json()
    assert taken == {
        "id": taken["id"],
        "session_id": session.id,
        "event_id": event.id,
        "user_id": person.id,
        "created_at": taken["created_at"],
    }
    assert response.headers["location"] == f"{PREFIX}/sessions/{session.id}"
    assert (left(me, session), agenda(me)) == (1, [session.id])


def test_the_last_seat_is_given_once(me: Caller, signed_in: SignedIn, make: Factory, event: Event) -> None:
    session = make.session(event, own_capacity=1)
    assert me.post(seat_in(session)).status_code == 201
    assert refused(signed_in(make.registered(event)).post(seat_in(session))) == (409, "session-full")
    # Whoever has the last seat is told so, not that the session is full.
    assert refused(me.post(seat_in(session))) == (409, "already-registered")
    assert left(me, session) == 0


def test_a_session_without_places_of_its_own_has_those_of_its_room(
    me: Caller, signed_in: SignedIn, make: Factory, event: Event
) -> None:
    session = make.session(event, room=make.room(event, capacity=1))
    assert me.post(seat_in(session)).status_code == 201
    assert refused(signed_in(make.registered(event)).post(seat_in(session))) == (409, "session-full")


def test_a_session_without_a_limit_takes_everybody_who_is_registered(
    signed_in: SignedIn, make: Factory, event: Event
) -> None:
    session = make.session(event)
    for _ in range(3):
        assert signed_in(make.registered(event)).post(seat_in(session)).status_code == 201


@pytest.mark.parametrize("status", [None, RegistrationStatus.WAITLISTED, RegistrationStatus.CANCELLED])
def test_a_seat_needs_a_confirmed_place_at_the_event(
    signed_in: SignedIn, make: Factory, event: Event, status: RegistrationStatus | None
) -> None:
    user = make.registered(make.event())
    if status is not None:
        make.registration(event, user, status=status)
    assert refused(signed_in(user).post(seat_in(make.session(event)))) == (409, "not-registered")


def test_a_seat_at_the_time_of_another_is_refused_and_names_it_across_events(
    me: Caller, make: Factory, event: Event, person: User
) -> None:
    other = make.event()
    make.registration(other, person)
    speaker = make.speaker()
    first = make.session(event, room=make.room(event, name="Aula"), speakers=(speaker,), **at(event, 1))
    second = make.session(other, **at(other, 1.5))
    for session in (first, second):
        assert me.post(seat_in(session)).status_code == (201 if session is first else 409)
    across = make.session(other, **at(other, 0.5, hours=5))
    assert me.post(seat_in(make.session(event, **at(event, 3)))).status_code == 201
    response = me.post(seat_in(across))
    assert refused(response) == (409, "agenda-conflict")
    conflicts = response.json()["conflicts"]
    assert [conflict["session_id"] for conflict in conflicts] == agenda(me)
    assert conflicts[0] == {
        "session_id": first.id,
        "title": "Session",
        **sent(at(event, 1)),
        "room": "Aula",
        "speaker_ids": [speaker.id],
    }


def test_a_session_may_start_the_moment_another_ends(me: Caller, make: Factory, event: Event) -> None:
    for hour in (1, 0, 2):
        assert me.post(seat_in(make.session(event, **at(event, hour)))).status_code == 201


def test_a_full_session_is_said_to_be_full_even_to_those_who_have_another_at_that_time(
    me: Caller, make: Factory, event: Event
) -> None:
    full = make.session(event, own_capacity=1)
    make.seat(full)
    assert me.post(seat_in(make.session(event))).status_code == 201
    assert refused(me.post(seat_in(full))) == (409, "session-full")


@pytest.mark.parametrize("status", [EventStatus.CANCELLED, EventStatus.FINISHED])
def test_an_event_that_is_not_on_gives_no_seats(
    me: Caller, make: Factory, person: User, status: EventStatus
) -> None:
    over = make.event(status=status)
    make.registration(over, person)
    assert refused(me.post(seat_in(make.session(over)))) == (409, "registration-closed")


def test_a_session_that_is_over_gives_no_seats_and_one_that_has_begun_does(
    me: Caller, make: Factory, person: User
) -> None:
    event = make.event(start_at=soon(-1), end_at=soon(1), registration_closes_at=soon(-1))
    make.registration(event, person)
    over = make.session(event, start_at=soon(-1), end_at=soon(-0.5))
    begun = make.session(event, start_at=soon(-0.5), end_at=soon(0.5))
    assert refused(me.post(seat_in(over))) == (409, "registration-closed")
    # Registration has closed; the seats of those who have a place go on being given.
    assert me.post(seat_in(begun)).status_code == 201


def test_the_sessions_of_a_draft_are_known_to_its_team_alone(
    me: Caller, signed_in: SignedIn, make: Factory
) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    path = seat_in(make.session(draft))
    assert refused(me.post(path)) == (404, "not-found")
    assert refused(signed_in(make.member(draft, TeamRole.STAFF)).post(path)) == (409, "registration-closed")


def test_a_session_that_is_not_there_gives_no_seats(
    me: Caller, make: Factory, event: Event, person: User
) -> None:
    gone = make.event(deleted_at=soon(-1))
    make.registration(gone, person)
    for session_id in (
        2**31 - 1,
        make.session(event, deleted_at=soon(-1)).id,
        make.session(gone).id,
    ):
        assert refused(me.post(f"/registrations/sessions/{session_id}")) == (404, "not-found")


def test_a_token_that_fits_no_account_any_more_takes_no_seat(
    me: Caller, make: Factory, event: Event, person: User, db: Database
) -> None:
    session = make.session(event)
    db.execute(text("UPDATE users SET token_version = 2 WHERE id = :id"), {"id": person.id})
    db.commit()
    assert refused(me.post(seat_in(session))) == (401, "unauthorized")
    assert db.scalars(text("SELECT id FROM seats")).all() == []


def test_the_same_key_takes_one_seat_and_gets_one_answer(
    me: Caller, make: Factory, event: Event, person: User
) -> None:
    session = make.session(event, own_capacity=2)
    key = {"Idempotency-Key": "once"}
    first, again = (me.post(seat_in(session), headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert left(me, session) == 1
    other_body = me.post(seat_in(session), headers=key, json={})
    assert refused(other_body) == (422, "idempotency-key-reused")
    # A refusal is not kept.
    full = make.session(event, own_capacity=1, **at(event, 1))
    seat = make.seat(full)
    assert refused(me.post(seat_in(full), headers=key)) == (409, "session-full")
    make.db.delete(seat)
    make.db.commit()
    assert me.post(seat_in(full), headers=key).status_code == 201


# Giving up


def test_a_seat_given_up_is_free_at_once_and_can_be_taken_again(
    me: Caller, signed_in: SignedIn, make: Factory, event: Event
) -> None:
    session = make.session(event, own_capacity=1)
    first = me.post(seat_in(session)).json()
    response = me.delete(seat_in(session))
    assert (response.status_code, response.content, left(me, session), agenda(me)) == (204, b"", 1, [])
    second = me.post(seat_in(session)).json()
    assert second["id"] > first["id"]
    assert me.get("/registrations/me").json()["items"][0]["status"] == "CONFIRMED"


def test_there_is_nothing_to_give_up_without_a_seat(me: Caller, make: Factory, event: Event) -> None:
    session = make.session(event)
    make.seat(session)
    given_up = make.session(event, **at(event, 1))
    me.post(seat_in(given_up))
    me.delete(seat_in(given_up))
    for path in (seat_in(session), seat_in(given_up), f"/registrations/sessions/{2**31 - 1}"):
        assert refused(me.delete(path)) == (404, "not-registered")


def test_a_seat_given_up_makes_room_in_the_agenda(me: Caller, make: Factory, event: Event) -> None:
    one, other = make.session(event), make.session(event)
    me.post(seat_in(one))
    assert refused(me.post(seat_in(other))) == (409, "agenda-conflict")
    me.delete(seat_in(one))
    assert me.post(seat_in(other)).status_code == 201


# Losing


def test_who_cancels_the_registration_gives_up_the_seats_of_that_event_alone(
    me: Caller, make: Factory, event: Event, person: User
) -> None:
    other = make.event()
    make.registration(other, person)
    mine = [make.session(event, own_capacity=1, **at(event, hour)) for hour in (0, 1)]
    kept = make.session(other, **at(other, 2))
    for session in (*mine, kept):
        assert me.post(seat_in(session)).status_code == 201
    assert me.delete(place_at(event)).status_code == 204
    assert (agenda(me), [left(me, session) for session in mine]) == ([kept.id], [1, 1])
    # A new registration is a new beginning.
    assert me.post(place_at(event)).status_code == 201
    assert agenda(me) == [kept.id]


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_an_event_that_is_off_takes_its_seats_with_it(
    me: Caller, owner: Caller, make: Factory, event: Event, how: str
) -> None:
    other = make.event()
    me.post(place_at(other))
    there, elsewhere = make.session(event), make.session(other)
    me.post(seat_in(there))
    path = f"/events/{event.id}"
    if how == "deleted":
        assert owner.delete(path).status_code == 204
    else:
        assert owner.patch(path, json={"status": "CANCELLED"}).status_code == 200
        assert owner.get(f"/sessions/{there.id}").json()["capacity_available"] is None
    assert agenda(me) == []
    assert me.post(seat_in(elsewhere)).status_code == 201


def test_a_deleted_session_gives_up_its_seats(me: Caller, owner: Caller, make: Factory, event: Event) -> None:
    session = make.session(event)
    me.post(seat_in(session))
    assert owner.delete(f"/sessions/{session.id}").status_code == 204
    assert agenda(me) == []
    assert refused(me.delete(seat_in(session))) == (404, "not-registered")


def test_who_comes_up_from_the_waitlist_has_a_place_and_no_seats(
    me: Caller, signed_in: SignedIn, make: Factory
) -> None:
    event = make.event(capacity_total=1, waitlist_enabled=True)
    session, next_one = make.session(event, own_capacity=1), signed_in(make.user())
    me.post(place_at(event))
    me.post(seat_in(session))
    next_one.post(place_at(event))
    assert refused(next_one.post(seat_in(session))) == (409, "not-registered")
    me.delete(place_at(event))
    assert next_one.get("/registrations/me").json()["items"][0]["status"] == "CONFIRMED"
    assert (agenda(next_one), left(me, session)) == ([], 1)
    assert next_one.post(seat_in(session)).status_code == 201


# The agenda


def test_the_agenda_has_my_sessions_in_time_order_with_their_events(
    me: Caller, make: Factory, event: Event, person: User
) -> None:
    other = make.event(name="Other", start_at=event.start_at - DAY, end_at=event.end_at)
    make.registration(other, person)
    ana, luis = make.speaker(full_name="Ana"), make.speaker(full_name="Luis")
    late = make.session(event, room=make.room(event, name="Aula"), speakers=(luis, ana), **at(event, 3))
    early = make.session(other, own_capacity=5)
    make.seat(make.session(event, **at(event, 8)))
    for session in (late, early):
        me.post(seat_in(session))
    listed = me.get("/registrations/me/agenda").json()
    assert listed == [
        {**me.get(f"/sessions/{early.id}").json(), "event": {"id": other.id, "name": "Other"}},
        {**me.get(f"/sessions/{late.id}").json(), "event": {"id": event.id, "name": "Event"}},
    ]
    assert [speaker["full_name"] for speaker in listed[1]["speakers"]] == ["Ana", "Luis"]
    assert listed[0]["capacity_available"] == 4


def test_an_agenda_that_has_not_changed_is_not_sent_again(me: Caller, make: Factory, event: Event) -> None:
    one, other = make.session(event), make.session(event, **at(event, 1))
    me.post(seat_in(one))
    first = me.get("/registrations/me/agenda")
    had = {"If-None-Match": first.headers["etag"]}
    assert me.get("/registrations/me/agenda", headers=had).status_code == 304
    me.post(seat_in(other))
    changed = me.get("/registrations/me/agenda", headers=had)
    assert (changed.status_code, ids(changed)) == (200, [one.id, other.id])


def test_an_agenda_is_one_query_whatever_its_length(
    me: Caller, make: Factory, event: Event, person: User, statements: list[str]
) -> None:
    costs = []
    for hours in (range(1), range(1, 3)):
        for hour in hours:
            speakers = (make.speaker(), make.speaker())
            make.seat(
                make.session(event, room=make.room(event), speakers=speakers, **at(event, hour)), person
            )
        statements.clear()
        length = len(agenda(me))
        # One for the account, one for the agenda.
        costs.append((length, len(statements)))
    assert costs == [(1, 2), (3, 2)]


# Moving what people have seats in


@pytest.fixture
def crowded(make: Factory, event: Event) -> dict[str, Any]:
    """Make a session with three people; two of them have another one later, one in another event."""
    other = make.event()
    moved, later = make.session(event, **at(event, 0)), make.session(event, **at(event, 2))
    elsewhere = make.session(other, **at(other, 2.5))
    people = [make.registered(event, other) for _ in range(3)]
    for user in people:
        make.seat(moved, user)
    make.seat(later, people[0])
    make.seat(elsewhere, people[1])
    return {"moved": moved, "later": later, "elsewhere": elsewhere, "people": people}


def test_a_session_is_not_moved_over_the_agendas_of_those_in_it(
    owner: Caller, event: Event, crowded: dict[str, Any]
) -> None:
    path = f"/sessions/{crowded['moved'].id}"
    before = owner.get(path).json()
    response = owner.patch(path, json=sent(at(event, 2)))
    assert refused(response) == (409, "agenda-conflict")
    assert response.json()["people"] == 2
    in_the_way = [conflict["session_id"] for conflict in response.json()["conflicts"]]
    assert in_the_way == [crowded["later"].id, crowded["elsewhere"].id]
    assert owner.get(path).json() == before
    refuse = owner.patch(path, json=sent(at(event, 2)), params={"on_agenda_conflict": "refuse"})
    assert refused(refuse) == (409, "agenda-conflict")


def test_released_are_exactly_those_who_are_elsewhere_then_and_they_are_named(
    owner: Caller, signed_in: SignedIn, event: Event, crowded: dict[str, Any]
) -> None:
    moved, people = crowded["moved"], crowded["people"]
    path = f"/sessions/{moved.id}"
    response = owner.patch(path, json=sent(at(event, 2)), params={"on_agenda_conflict": "release"})
    assert response.status_code == 200
    answer = response.json()
    assert answer.pop("released") == [
        {"id": user.id, "email": user.email, "full_name": None} for user in people[:2]
    ]
    assert answer == owner.get(path).json()
    assert [agenda(signed_in(user)) for user in people] == [
        [crowded["later"].id],
        [crowded["elsewhere"].id],
        [moved.id],
    ]


def test_a_session_moves_with_all_who_have_the_time(
    owner: Caller, signed_in: SignedIn, event: Event, crowded: dict[str, Any]
) -> None:
    path = f"/sessions/{crowded['moved'].id}"
    for hour, choice in ((1, "refuse"), (1.25, "release"), (5, "release")):
        moved = owner.patch(path, json=sent(at(event, hour, 0.5)), params={"on_agenda_conflict": choice})
        assert (moved.status_code, moved.json().get("released", [])) == (200, [])
        assert ("released" in moved.json()) is (choice == "release")
    assert all(crowded["moved"].id in agenda(signed_in(user)) for user in crowded["people"])


def test_words_change_without_a_look_at_agendas(owner: Caller, crowded: dict[str, Any]) -> None:
    path = f"/sessions/{crowded['moved'].id}"
    renamed = owner.patch(path, json={"title": "New"}, params={"on_agenda_conflict": "release"})
    assert (renamed.status_code, renamed.json().get("released", [])) == (200, [])


def test_nobody_is_released_by_a_move_that_is_refused(
    owner: Caller, signed_in: SignedIn, make: Factory, event: Event, crowded: dict[str, Any]
) -> None:
    room = make.room(event)
    make.session(event, room=room, **at(event, 2))
    path = f"/sessions/{crowded['moved'].id}"
    change = {**sent(at(event, 2)), "room": room.name}
    response = owner.patch(path, json=change, params={"on_agenda_conflict": "release"})
    assert refused(response) == (409, "room-taken")
    assert all(crowded["moved"].id in agenda(signed_in(user)) for user in crowded["people"])
