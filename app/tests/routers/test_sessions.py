"""Sessions over HTTP: planned, moved, cancelled, and never in each other's way."""

from typing import Any

import pytest
from sqlalchemy import select

from app.core.database import Database
from app.models import Event, Session, User
from app.models.enums import EventStatus, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import HOUR, Factory, soon
from app.tests.routers.conftest import SignedIn, at, ids, refused, sent, z


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner)


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


def plan(event: Event, hour: float = 0, hours: float = 1, **fields: Any) -> dict[str, Any]:
    return {"event_id": event.id, "title": "New", **sent(at(event, hour, hours)), **fields}


# Planning


def test_a_new_session_comes_back_whole(me: Caller, make: Factory, owner: User, event: Event) -> None:
    beta, alfa = (make.speaker(owner, full_name=name) for name in ("Beta", "Alfa"))
    said = plan(event, description="Text", room="Aula", capacity_total=20)
    response = me.post("/sessions", json={**said, "speaker_ids": [beta.id, alfa.id, beta.id]})
    assert response.status_code == 201
    made = response.json()
    speakers = [me.get(f"/speakers/{speaker.id}").json() for speaker in (alfa, beta)]
    assert made == {"id": made["id"], **said, "capacity_available": 20, "speakers": speakers}
    assert response.headers["location"] == f"{PREFIX}/sessions/{made['id']}"
    assert me.get(f"/sessions/{made['id']}").json() == made


def test_a_title_and_times_are_enough(me: Caller, event: Event) -> None:
    made = me.post("/sessions", json=plan(event)).json()
    nothing = dict.fromkeys(("description", "room", "capacity_total", "capacity_available"))
    assert made == {"id": made["id"], **plan(event), **nothing, "speakers": []}


def test_capacity_available_in_the_body_has_no_effect(me: Caller, event: Event) -> None:
    made = me.post("/sessions", json=plan(event, capacity_total=9, capacity_available=2)).json()
    assert made["capacity_available"] == 9
    edited = me.patch(f"/sessions/{made['id']}", json={"capacity_available": 1, "title": "T"})
    assert (edited.status_code, edited.json()["capacity_available"]) == (200, 9)


def test_other_speakers_make_another_version_and_the_same_ones_do_not(
    me: Caller, make: Factory, db: Database, owner: User, event: Event
) -> None:
    one, other = make.speaker(owner), make.speaker(owner)
    made = me.post("/sessions", json=plan(event, speaker_ids=[one.id])).json()

    def version_after(**changes: Any) -> int | None:
        assert me.patch(f"/sessions/{made['id']}", json=changes).status_code == 200
        return db.scalar(select(Session.version).where(Session.id == made["id"]))

    assert version_after(speaker_ids=[one.id]) == 1
    assert version_after(speaker_ids=[one.id, other.id]) == 2
    assert version_after(speaker_ids=[other.id]) == 3
    assert version_after(speaker_ids=[one.id], title="Renamed") == 4
    assert version_after(title="Renamed") == 4


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("title", "", "/title"),
        ("title", "x" * 256, "/title"),
        ("title", None, "/title"),
        ("description", "a\0", "/description"),
        ("start_at", "2099-01-01T10:00:00", "/start_at"),
        ("end_at", "2000-01-01T10:00:00Z", "/end_at"),
        ("room", "", "/room"),
        ("room", "x" * 101, "/room"),
        ("capacity_total", 0, "/capacity_total"),
        ("capacity_total", 10**12, "/capacity_total"),
        ("speaker_ids", [2**31], "/speaker_ids/0"),
        ("speaker_ids", ["1"], "/speaker_ids/0"),
        ("speaker_ids", list(range(1, 52)), "/speaker_ids"),
        ("speaker_ids", None, "/speaker_ids"),
        ("event_id", 2**31, "/event_id"),
        ("colour", "red", "/colour"),
    ],
)
def test_a_session_that_is_not_valid_is_refused(
    me: Caller, event: Event, field: str, value: object, pointer: str
) -> None:
    response = me.post("/sessions", json={**plan(event), field: value})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_a_session_of_no_event_is_not_found(me: Caller, make: Factory, event: Event) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    for event_id in (2**31 - 1, draft.id):
        assert refused(me.post("/sessions", json={**plan(event), "event_id": event_id})) == (404, "not-found")
    elsewhere = me.post("/sessions", json=plan(make.event()))
    assert refused(elsewhere) == (403, "forbidden")


@pytest.mark.parametrize(("hour", "hours"), [(-1, 1), (-0.5, 1), (71.5, 1), (72, 1), (-1, 100)])
def test_a_session_outside_its_event_is_refused(
    me: Caller, make: Factory, event: Event, hour: float, hours: float
) -> None:
    outside = (409, "session-outside-event")
    assert refused(me.post("/sessions", json=plan(event, hour, hours))) == outside
    session = make.session(event)
    assert refused(me.patch(f"/sessions/{session.id}", json=sent(at(event, hour, hours)))) == outside


def test_a_session_may_fill_its_event(me: Caller, event: Event) -> None:
    assert me.post("/sessions", json=plan(event, 0, 72)).status_code == 201


# Lists


def test_sessions_are_listed_in_time_order_and_deleted_ones_are_not(
    anonymous: Caller, make: Factory, event: Event
) -> None:
    last = make.session(event, **at(event, 4)).id
    first = make.session(event, **at(event, 1)).id
    same_time = make.session(event, **at(event, 1)).id
    make.session(event, deleted_at=soon(-1))
    make.session(make.event())
    response = anonymous.get(f"/sessions?event_id={event.id}")
    assert (response.status_code, ids(response)) == (200, [first, same_time, last])


def test_the_list_costs_the_same_queries_whatever_its_length(
    anonymous: Caller, make: Factory, event: Event, statements: list[str]
) -> None:
    path, costs = f"/sessions?event_id={event.id}", []
    speakers = (make.speaker(), make.speaker())
    for hours in ([0], [1, 2]):
        for hour in hours:
            make.session(event, room=make.room(event), speakers=speakers, **at(event, hour))
        statements.clear()
        costs.append((len(anonymous.get(path).json()), len(statements)))
    assert costs == [(1, 2), (3, 2)]


def test_a_session_of_a_draft_is_shown_to_its_team_only(
    anonymous: Caller, signed_in: SignedIn, make: Factory
) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    session = make.session(draft)
    staff = make.member(draft, TeamRole.STAFF)
    for path in (f"/sessions/{session.id}", f"/sessions?event_id={draft.id}"):
        assert refused(anonymous.get(path)) == (404, "not-found")
        assert refused(signed_in(make.user()).get(path)) == (404, "not-found")
        assert signed_in(staff).get(path).status_code == 200


def test_a_deleted_session_is_not_found_by_any_route(me: Caller, make: Factory, event: Event) -> None:
    path = f"/sessions/{make.session(event, deleted_at=soon(-1)).id}"
    assert refused(me.get(path)) == (404, "not-found")
    assert refused(me.patch(path, json={"title": "x"})) == (404, "not-found")
    assert refused(me.delete(path)) == (404, "not-found")


# Rooms


def test_a_room_s_name_finds_it_in_whatever_case_and_an_unknown_one_makes_it(
    me: Caller, make: Factory, event: Event
) -> None:
    make.room(event, name="Aula Ñandú", capacity=30)
    found = me.post("/sessions", json=plan(event, room="AULA ñandú")).json()
    assert (found["room"], found["capacity_total"], found["capacity_available"]) == ("Aula Ñandú", 30, 30)
    made = me.post("/sessions", json=plan(event, room="Patio")).json()
    assert (made["room"], made["capacity_total"]) == ("Patio", None)
    rooms = me.get(f"/rooms?event_id={event.id}").json()
    assert [(room["name"], room["capacity"]) for room in rooms] == [("Aula Ñandú", 30), ("Patio", None)]


def test_a_refused_session_makes_no_room(me: Caller, event: Event) -> None:
    assert refused(me.post("/sessions", json=plan(event, -1, room="Patio"))) == (409, "session-outside-event")
    assert me.get(f"/rooms?event_id={event.id}").json() == []


def test_a_room_holds_one_session_at_a_time_and_the_refusal_names_it(
    me: Caller, make: Factory, event: Event
) -> None:
    room, speaker = make.room(event, name="Aula"), make.speaker()
    there = make.session(event, title="There", room=room, speakers=(speaker,), **at(event, 2, 2))
    also = make.session(event, title="Also", room=room, **at(event, 4, 1))
    make.session(event, title="Elsewhere", **at(event, 2, 2))
    response = me.post("/sessions", json=plan(event, 3, 2, room="aula"))
    assert refused(response) == (409, "room-taken")
    assert response.json()["conflicts"] == [
        {
            "session_id": there.id,
            "title": "There",
            **sent(at(event, 2, 2)),
            "room": "Aula",
            "speaker_ids": [speaker.id],
        },
        {
            "session_id": also.id,
            "title": "Also",
            **sent(at(event, 4, 1)),
            "room": "Aula",
            "speaker_ids": [],
        },
    ]


def test_sessions_may_stand_back_to_back(me: Caller, make: Factory, owner: User, event: Event) -> None:
    room, speaker = make.room(event), make.speaker(owner)
    make.session(event, room=room, speakers=(speaker,), **at(event, 2))
    for hour in (1, 3):
        there = plan(event, hour, room=room.name, speaker_ids=[speaker.id])
        assert me.post("/sessions", json=there).status_code == 201


def test_a_room_that_allows_it_holds_parallel_sessions(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event, allow_parallel=True)
    make.session(event, room=room)
    assert me.post("/sessions", json=plan(event, room=room.name)).status_code == 201


def test_rooms_of_the_same_name_in_two_events_are_two_rooms(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    make.session(event, room=make.room(event, name="Aula"))
    assert me.post("/sessions", json=plan(make.event(owner), room="Aula")).status_code == 201


def test_a_session_has_no_more_places_than_its_room(me: Caller, make: Factory, event: Event) -> None:
    make.room(event, name="Aula", capacity=30)
    small = (409, "room-too-small")
    assert refused(me.post("/sessions", json=plan(event, room="Aula", capacity_total=31))) == small
    made = me.post("/sessions", json=plan(event, room="Aula", capacity_total=30))
    path = f"/sessions/{made.json()['id']}"
    assert refused(me.patch(path, json={"capacity_total": 31})) == small
    large = make.session(event, own_capacity=50, **at(event, 9))
    assert refused(me.patch(f"/sessions/{large.id}", json={"room": "Aula"})) == small
    fits = me.patch(f"/sessions/{large.id}", json={"room": "Aula", "capacity_total": None})
    assert (fits.status_code, fits.json()["capacity_total"]) == (200, 30)


def test_a_session_has_no_fewer_places_than_seats_taken(me: Caller, make: Factory, event: Event) -> None:
    session = make.session(event, own_capacity=5)
    make.room(event, name="Closet", capacity=1)
    for _ in range(2):
        make.seat(session)
    path = f"/sessions/{session.id}"
    response = me.patch(path, json={"capacity_total": 1})
    assert refused(response) == (409, "capacity-below-confirmed")
    assert response.json()["confirmed"] == 2
    closet = {"capacity_total": None, "room": "Closet"}
    assert refused(me.patch(path, json=closet)) == (409, "room-too-small")
    edited = me.patch(path, json={"capacity_total": 2}).json()
    assert (edited["capacity_total"], edited["capacity_available"]) == (2, 0)


def test_a_deleted_session_frees_those_who_have_a_seat(me: Caller, make: Factory, event: Event) -> None:
    session, other = make.session(event), make.session(event)
    seat = make.seat(session)
    assert me.delete(f"/sessions/{session.id}").status_code == 204
    make.seat(other, make.db.get_one(User, seat.user_id))
    assert me.get(f"/sessions/{other.id}").json()["capacity_available"] is None


def test_a_session_leaves_its_room_for_none(me: Caller, make: Factory, event: Event) -> None:
    session = make.session(event, room=make.room(event, capacity=5))
    left = me.patch(f"/sessions/{session.id}", json={"room": None}).json()
    assert (left["room"], left["capacity_total"]) == (None, None)


# Speakers


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_speaker_is_in_one_place_at_a_time_within_an_event_and_across_events(
    me: Caller,
    make: Factory,
    owner: User,
    event: Event,
    elsewhere: bool,  # noqa: FBT001
) -> None:
    other = make.event(owner) if elsewhere else event
    speaker = make.speaker(owner)
    there = make.session(other, title="There", speakers=(speaker, make.speaker()), **at(other, 1, 2))
    response = me.post("/sessions", json=plan(event, 2, speaker_ids=[speaker.id]))
    assert refused(response) == (409, "speaker-busy")
    (conflict,) = response.json()["conflicts"]
    assert (conflict["session_id"], conflict["title"], conflict["room"]) == (there.id, "There", None)
    assert conflict["speaker_ids"][0] == speaker.id


def test_a_conflict_in_the_draft_of_another_shows_its_times_only(
    me: Caller, signed_in: SignedIn, make: Factory, owner: User, event: Event
) -> None:
    hidden, speaker = make.event(status=EventStatus.DRAFT), make.speaker(owner)
    make.session(hidden, title="Secret", speakers=(speaker,), **at(hidden, 1))
    response = me.post("/sessions", json=plan(event, 1, speaker_ids=[speaker.id]))
    assert refused(response) == (409, "speaker-busy")
    assert response.json()["conflicts"] == [sent(at(hidden, 1))]
    as_admin = signed_in(make.admin()).post("/sessions", json=plan(event, 1, speaker_ids=[speaker.id]))
    assert [conflict["title"] for conflict in as_admin.json()["conflicts"]] == ["Secret"]


def test_a_conflict_in_a_draft_that_i_help_to_run_shows_all(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    draft, speaker = make.event(status=EventStatus.DRAFT), make.speaker(owner)
    make.member(draft, TeamRole.STAFF, owner)
    make.session(draft, title="Ours", speakers=(speaker,))
    response = me.post("/sessions", json=plan(event, speaker_ids=[speaker.id]))
    assert [conflict["title"] for conflict in response.json()["conflicts"]] == ["Ours"]


def test_unknown_and_foreign_speakers_are_refused_by_name_and_none_is_dropped_in_silence(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    mine, foreign, unknown = make.speaker(owner), make.speaker(), 2**31 - 1
    response = me.post("/sessions", json=plan(event, speaker_ids=[unknown, mine.id, foreign.id]))
    assert refused(response) == (409, "unknown-speaker")
    assert response.json()["speaker_ids"] == [foreign.id, unknown]
    assert me.get(f"/sessions?event_id={event.id}").json() == []
    session = make.session(event, speakers=(mine,))
    edited = me.patch(f"/sessions/{session.id}", json={"speaker_ids": [foreign.id], "title": "Lost"})
    assert refused(edited) == (409, "unknown-speaker")
    shown = me.get(f"/sessions/{session.id}").json()
    assert (shown["title"], [speaker["id"] for speaker in shown["speakers"]]) == ("Session", [mine.id])


def test_a_manager_names_own_speakers_those_of_the_creator_and_those_in_the_line_up(
    signed_in: SignedIn, make: Factory, owner: User, event: Event
) -> None:
    manager = make.member(event, TeamRole.MANAGER)
    named = [make.speaker(manager).id, make.speaker(owner).id, make.speaker(event=event).id]
    response = signed_in(manager).post("/sessions", json=plan(event, speaker_ids=named))
    assert response.status_code == 201
    assert sorted(speaker["id"] for speaker in response.json()["speakers"]) == sorted(named)


# Moving


def test_patch_changes_what_the_body_names_only(me: Caller, make: Factory, owner: User, event: Event) -> None:
    session = make.session(event, room=make.room(event), own_capacity=7, speakers=(make.speaker(owner),))
    path = f"/sessions/{session.id}"
    before = me.get(path).json()
    assert me.patch(path, json={}).json() == before
    assert me.patch(path, json={"title": "After"}).json() == {**before, "title": "After"}
    moved = me.patch(path, json={"end_at": z(event.start_at + 2 * HOUR)}).json()
    assert moved == {**before, "title": "After", "end_at": z(event.start_at + 2 * HOUR)}


def test_times_room_and_speakers_move_together(me: Caller, make: Factory, owner: User, event: Event) -> None:
    one, two = make.speaker(owner), make.speaker(owner)
    session = make.session(event, room=make.room(event), speakers=(one,))
    change = {**sent(at(event, 5, 2)), "room": "Patio", "speaker_ids": [two.id]}
    moved = me.patch(f"/sessions/{session.id}", json=change).json()
    assert {name: moved[name] for name in ("start_at", "end_at", "room")} == {
        **sent(at(event, 5, 2)),
        "room": "Patio",
    }
    assert [speaker["id"] for speaker in moved["speakers"]] == [two.id]
    again = plan(event, room="Patio", speaker_ids=[one.id])
    assert me.post("/sessions", json=again).status_code == 201


def test_a_speaker_who_leaves_does_not_stand_in_the_way_of_the_move(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    leaving, coming = make.speaker(owner), make.speaker(owner)
    session = make.session(event, speakers=(leaving,))
    make.session(event, speakers=(leaving,), **at(event, 3))
    make.session(event, speakers=(coming,), **at(event, 0))
    path = f"/sessions/{session.id}"
    assert refused(me.patch(path, json=sent(at(event, 3)))) == (409, "speaker-busy")
    swapped = me.patch(path, json={**sent(at(event, 3)), "speaker_ids": [coming.id]})
    assert swapped.status_code == 200
    assert (swapped.json()["start_at"], [one["id"] for one in swapped.json()["speakers"]]) == (
        z(event.start_at + 3 * HOUR),
        [coming.id],
    )


def test_a_refused_move_leaves_the_session_as_it_was(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    speaker = make.speaker(owner)
    session = make.session(event, room=make.room(event), speakers=(speaker,))
    blocking = make.session(event, title="Busy", speakers=(speaker,), **at(event, 3))
    path = f"/sessions/{session.id}"
    before = me.get(path).json()
    response = me.patch(path, json={**sent(at(event, 2.5)), "room": "Patio", "title": "Moved"})
    assert refused(response) == (409, "speaker-busy")
    assert [conflict["session_id"] for conflict in response.json()["conflicts"]] == [blocking.id]
    assert me.get(path).json() == before


def test_a_move_into_a_taken_room_names_who_is_there_and_not_itself(
    me: Caller, make: Factory, event: Event
) -> None:
    room = make.room(event)
    there = make.session(event, room=room, **at(event, 1))
    moving = make.session(event, room=room)
    response = me.patch(f"/sessions/{moving.id}", json=sent(at(event, 0.5)))
    assert refused(response) == (409, "room-taken")
    assert [conflict["session_id"] for conflict in response.json()["conflicts"]] == [there.id]
    assert me.patch(f"/sessions/{moving.id}", json={"end_at": z(there.start_at)}).status_code == 200


@pytest.mark.parametrize("field", ["start_at", "end_at"])
def test_one_time_cannot_contradict_the_other_that_stays(
    me: Caller, make: Factory, event: Event, field: str
) -> None:
    session = make.session(event)
    wrong = {"start_at": session.end_at, "end_at": session.start_at}
    response = me.patch(f"/sessions/{session.id}", json={field: z(wrong[field])})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/end_at"]


def test_no_speakers_is_an_empty_list(me: Caller, make: Factory, owner: User, event: Event) -> None:
    session = make.session(event, speakers=(make.speaker(owner),))
    assert me.patch(f"/sessions/{session.id}", json={"speaker_ids": []}).json()["speakers"] == []


# Deleting


def test_a_deleted_session_frees_its_room_and_its_speakers(
    me: Caller, make: Factory, owner: User, event: Event
) -> None:
    room, speaker = make.room(event), make.speaker(owner)
    session = make.session(event, room=room, speakers=(speaker,))
    for taken, again in (
        ("room-taken", plan(event, room=room.name)),
        ("speaker-busy", plan(event, speaker_ids=[speaker.id])),
    ):
        assert refused(me.post("/sessions", json=again)) == (409, taken)
    response = me.delete(f"/sessions/{session.id}")
    assert (response.status_code, response.content) == (204, b"")
    again = plan(event, room=room.name, speaker_ids=[speaker.id])
    assert me.post("/sessions", json=again).status_code == 201


def test_the_event_can_shrink_once_the_session_outside_is_deleted(
    me: Caller, make: Factory, event: Event
) -> None:
    session = make.session(event)
    shorter = {"start_at": z(event.start_at + HOUR)}
    assert refused(me.patch(f"/events/{event.id}", json=shorter)) == (409, "session-outside-event")
    me.delete(f"/sessions/{session.id}")
    assert me.patch(f"/events/{event.id}", json=shorter).status_code == 200
