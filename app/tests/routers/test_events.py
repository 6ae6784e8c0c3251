"""Events over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.core.database import Database
from app.core.settings import EventCreators
from app.models import Event
from app.models.enums import EventStatus, RegistrationStatus, Role, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import DAY, HOUR, Factory, soon
from app.tests.routers.conftest import SignedIn, at, ids, refused, z

NEW = {
    "name": "PyCon Bogotá",
    "start_at": "2099-03-01T08:00:00-05:00",
    "end_at": "2099-03-03T18:00:00-05:00",
    "capacity_total": 300,
}

LATER = soon(60)


def all_of(anonymous: Caller, **params: Any) -> list[int]:
    response = anonymous.get("/events", params={"size": 100, **params})
    assert response.status_code == 200
    return ids(response)


# Creating


def test_a_new_event_is_published_and_owned_by_who_made_it(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    response = signed_in(owner).post("/events", json=NEW)
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"{PREFIX}/events/{made['id']}"
    assert made == {
        "id": made["id"],
        "name": "PyCon Bogotá",
        "description": None,
        "venue": None,
        "start_at": "2099-03-01T13:00:00Z",
        "end_at": "2099-03-03T23:00:00Z",
        "timezone": "UTC",
        "capacity_total": 300,
        "capacity_available": 300,
        "waitlist_enabled": False,
        "waitlist_count": 0,
        "status": "PUBLISHED",
        "registration_opens_at": None,
        "registration_closes_at": None,
        "created_by": owner.id,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "sessions": [],
    }


def test_what_is_said_of_a_new_event_comes_back(
    anonymous: Caller, signed_in: SignedIn, make: Factory
) -> None:
    said = {
        **NEW,
        "description": "Tres días en los Andes.",
        "venue": "Ágora",
        "start_at": "2099-03-01T13:00:00Z",
        "end_at": "2099-03-03T23:00:00Z",
        "timezone": "America/Bogota",
        "waitlist_enabled": True,
        "registration_opens_at": "2099-01-01T00:00:00Z",
        "registration_closes_at": "2099-02-01T00:00:00Z",
    }
    made = signed_in(make.user()).post("/events", json=said).json()
    shown = anonymous.get(f"/events/{made['id']}").json()
    assert shown == made
    assert {name: shown[name] for name in said} == said


def test_a_draft_is_made_as_one(signed_in: SignedIn, make: Factory) -> None:
    response = signed_in(make.user()).post("/events", json={**NEW, "status": "DRAFT"})
    assert (response.status_code, response.json()["status"]) == (201, "DRAFT")


@pytest.mark.parametrize("echo", [0, 7, -1, None, "many", {"a": 1}])
def test_capacity_available_in_a_new_event_has_no_effect(
    signed_in: SignedIn, make: Factory, echo: object
) -> None:
    response = signed_in(make.user()).post("/events", json={**NEW, "capacity_available": echo})
    assert (response.status_code, response.json()["capacity_available"]) == (201, 300)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 256),
        ("name", None),
        ("name", "a\0b"),
        ("description", "x" * 10_001),
        ("venue", "x" * 256),
        ("start_at", "2099-03-01T08:00:00"),
        ("start_at", 4_076_000_000),
        ("start_at", "tomorrow"),
        ("end_at", "2099-03-01T07:59:59-05:00"),
        ("end_at", "2099-03-01T08:00:00-05:00"),
        ("end_at", "9999-12-31T23:59:59-12:00"),
        ("timezone", "Mars/Olympus"),
        ("capacity_total", 0),
        ("capacity_total", 1_000_001),
        ("capacity_total", 10**12),
        ("capacity_total", "300"),
        ("capacity_total", True),
        ("status", "CANCELLED"),
        ("status", "FINISHED"),
        ("waitlist_enabled", None),
        ("confirmed_count", 0),
        ("created_by", 1),
        ("colour", "red"),
    ],
)
def test_a_field_that_is_not_valid_is_named(
    signed_in: SignedIn, make: Factory, field: str, value: object
) -> None:
    response = signed_in(make.user()).post("/events", json={**NEW, field: value})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/{field}"]


@pytest.mark.parametrize("field", list(NEW))
def test_a_field_that_is_missing_is_named(signed_in: SignedIn, make: Factory, field: str) -> None:
    body = {name: value for name, value in NEW.items() if name != field}
    response = signed_in(make.user()).post("/events", json=body)
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/{field}"]


def test_registration_cannot_close_before_it_opens(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    window = {
        "registration_opens_at": "2099-02-01T00:00:00Z",
        "registration_closes_at": "2099-02-01T00:00:00Z",
    }
    created = signed_in(owner).post("/events", json={**NEW, **window})
    edited = signed_in(owner).patch(f"/events/{make.event(owner).id}", json=window)
    for response in (created, edited):
        assert refused(response) == (422, "invalid-request")
        assert [error["pointer"] for error in response.json()["errors"]] == ["/registration_closes_at"]


@pytest.fixture
def _organisers_only(app: FastAPI) -> Iterator[None]:
    usual = app.state.settings
    app.state.settings = usual.model_copy(update={"event_creators": EventCreators.ORGANIZERS})
    yield
    app.state.settings = usual


@pytest.mark.usefixtures("_organisers_only")
def test_only_organisers_create_events_where_the_service_is_set_so(
    signed_in: SignedIn, make: Factory
) -> None:
    answers = {role: signed_in(make.user(role=role)).post("/events", json=NEW).status_code for role in Role}
    assert answers == {Role.ADMIN: 201, Role.ORGANIZER: 201, Role.ATTENDEE: 403}


# Lists


def test_an_event_with_a_null_description_does_not_break_the_list(anonymous: Caller, make: Factory) -> None:
    event = make.event(description=None, venue=None)
    response = anonymous.get("/events")
    assert response.status_code == 200
    assert [(item["id"], item["description"]) for item in response.json()["items"]] == [(event.id, None)]


def test_the_list_shows_published_events_and_no_other(anonymous: Caller, make: Factory) -> None:
    for status in EventStatus:
        make.event(status=status)
    make.event(deleted_at=soon(-1))
    response = anonymous.get("/events")
    assert [item["status"] for item in response.json()["items"]] == ["PUBLISHED"]
    assert response.json()["total"] == 1


def test_a_list_item_is_the_event_without_its_sessions(anonymous: Caller, make: Factory) -> None:
    event = make.event()
    make.session(event)
    detail = anonymous.get(f"/events/{event.id}").json()
    del detail["sessions"]
    assert anonymous.get("/events").json()["items"] == [detail]


def test_pages_hold_every_event_once_and_count_them_all(anonymous: Caller, make: Factory) -> None:
    made = [make.event().id for _ in range(5)]
    pages = [anonymous.get("/events", params={"page": page, "size": 2}).json() for page in (1, 2, 3, 4)]
    assert [item["id"] for page in pages for item in page["items"]] == made
    assert [(page["total"], page["total_exact"], page["page"], page["size"]) for page in pages] == [
        (5, True, number, 2) for number in (1, 2, 3, 4)
    ]


def test_an_empty_list_is_a_page_too(anonymous: Caller) -> None:
    assert anonymous.get("/events").json() == {
        "items": [],
        "total": 0,
        "total_exact": True,
        "page": 1,
        "size": 10,
        "next_cursor": None,
    }


def test_a_total_is_counted_up_to_ten_thousand_matches(
    anonymous: Caller, make: Factory, db: Database
) -> None:
    bulk = text("""
        INSERT INTO events (name, start_at, end_at, capacity_total, created_by)
        SELECT 'Bulk', now(), now() + interval '1 day', 1, :owner FROM generate_series(1, :count)
    """)
    owner = make.user().id

    def totals() -> list[tuple[int, bool]]:
        found = [anonymous.get("/events", params=params).json() for params in ({"search": "bulk"}, {})]
        return [(page["total"], page["total_exact"]) for page in found]

    db.execute(bulk, {"owner": owner, "count": 10_000})
    db.commit()
    assert totals() == [(10_000, True), (10_000, True)]
    db.execute(bulk, {"owner": owner, "count": 1})
    db.commit()
    assert totals() == [(10_000, False), (10_001, True)]
    last = anonymous.get("/events", params={"search": "bulk", "page": 1_001}).json()
    assert (len(last["items"]), last["total"]) == (1, 10_000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", 0),
        ("page", -1),
        ("page", 10**18),
        ("page", 1_000_001),
        ("page", "x"),
        ("size", 0),
        ("size", 101),
        ("size", 1_000),
        ("sort", "price"),
        ("from", "2099-01-01T00:00:00"),
        ("to", "yesterday"),
        ("organizer_id", 0),
        ("organizer_id", 2**31),
        ("has_places", "perhaps"),
        ("search", "a\0b"),
        ("search", "x" * 256),
        ("venue", "x" * 256),
    ],
)
def test_a_query_that_is_not_valid_is_refused(anonymous: Caller, name: str, value: object) -> None:
    response = anonymous.get("/events", params={name: value})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [f"query/{name}"]


def test_the_last_page_there_may_be_is_empty_and_no_error(anonymous: Caller, make: Factory) -> None:
    make.event()
    response = anonymous.get("/events", params={"page": 1_000_000, "size": 100})
    assert (response.status_code, response.json()["items"], response.json()["total"]) == (200, [], 1)


def test_from_and_to_keep_what_overlaps_that_time(anonymous: Caller, make: Factory) -> None:
    one, two, three = (
        make.event(start_at=LATER + n * DAY, end_at=LATER + (n + 1) * DAY).id for n in range(3)
    )

    def between(begin: float, end: float) -> list[int]:
        return all_of(anonymous, **{"from": z(LATER + begin * DAY), "to": z(LATER + end * DAY)})

    assert between(0.5, 0.6) == [one]
    assert between(0.5, 1.5) == [one, two]
    assert between(-1, 9) == [one, two, three]
    # What ends or begins at the very moment does not overlap it.
    assert between(1, 2) == [two]
    assert between(3, 4) == []
    assert all_of(anonymous, **{"from": z(LATER + 1.5 * DAY)}) == [two, three]
    assert all_of(anonymous, to=z(LATER + 1.5 * DAY)) == [one, two]


def test_the_list_can_be_kept_to_one_organiser(anonymous: Caller, make: Factory) -> None:
    owner = make.user()
    own = [make.event(owner).id, make.event(owner).id]
    make.event()
    assert all_of(anonymous, organizer_id=owner.id) == own


def test_has_places_tells_full_events_from_the_others(anonymous: Caller, make: Factory) -> None:
    full, free = make.event(capacity_total=1), make.event(capacity_total=2)
    make.registration(full)
    make.registration(free)
    assert all_of(anonymous, has_places=False) == [full.id]
    assert all_of(anonymous, has_places=True) == [free.id]
    assert all_of(anonymous) == [full.id, free.id]


def test_filters_combine(anonymous: Caller, make: Factory) -> None:
    owner = make.user()
    wanted = make.event(owner, name="PyCon", venue="Ágora").id
    make.event(owner, name="PyCon", venue="Casa")
    make.event(owner, name="Feria", venue="Ágora")
    make.event(name="PyCon", venue="Ágora")
    response = anonymous.get(
        "/events",
        params={
            "search": "py",
            "venue": "ágora",
            "organizer_id": owner.id,
            "has_places": True,
            "to": z(LATER),
        },
    )
    assert (ids(response), response.json()["total"], response.json()["total_exact"]) == ([wanted], 1, True)


def test_every_order_breaks_ties_by_id_in_its_own_direction(anonymous: Caller, make: Factory) -> None:
    day = soon(-20)
    late: dict[str, Any] = {"start_at": LATER, "end_at": LATER + DAY}
    early: dict[str, Any] = {"start_at": soon(10), "end_at": LATER}
    one = make.event(name="b", **late, created_at=day).id
    two = make.event(name="b", **late, created_at=day).id
    three = make.event(name="a", **early, created_at=day + DAY).id
    four = make.event(name="a", **early, created_at=day + DAY).id
    orders = ("start_at", "-start_at", "name", "-name", "-created_at")
    assert {order: all_of(anonymous, sort=order) for order in orders} == {
        "start_at": [three, four, one, two],
        "-start_at": [two, one, four, three],
        "name": [three, four, one, two],
        "-name": [two, one, four, three],
        "-created_at": [four, three, two, one],
    }
    assert all_of(anonymous) == [three, four, one, two]


def test_my_events_are_those_i_own_or_help_to_run_in_any_status(signed_in: SignedIn, make: Factory) -> None:
    me = make.user()
    own = [make.event(me, status=status).id for status in EventStatus]
    helped = [make.event(status=EventStatus.DRAFT), make.event()]
    for event, role in zip(helped, (TeamRole.STAFF, TeamRole.MANAGER), strict=True):
        make.member(event, role, me)
    make.event()
    make.event(me, deleted_at=soon(-1))
    response = signed_in(me).get("/users/me/events")
    assert ids(response) == [helped[1].id, helped[0].id, *reversed(own)]
    assert (response.json()["total"], response.json()["total_exact"]) == (6, True)
    drafts = signed_in(me).get("/users/me/events", params={"status": "DRAFT", "size": 1})
    assert (ids(drafts), drafts.json()["total"]) == ([helped[0].id], 2)


def test_lists_of_events_cost_the_same_queries_whatever_their_length(
    anonymous: Caller, signed_in: SignedIn, make: Factory, statements: list[str]
) -> None:
    owner = make.user()
    me, costs = signed_in(owner), []
    for more in (1, 2):
        for _ in range(more):
            make.session(make.event(owner))
        for caller, path in ((anonymous, "/events"), (me, "/users/me/events")):
            statements.clear()
            response = caller.get(path)
            costs.append((len(response.json()["items"]), len(statements)))
    assert costs == [(1, 1), (1, 3), (3, 1), (3, 3)]


# One event


def test_sessions_do_not_multiply_with_their_speakers(
    anonymous: Caller, make: Factory, statements: list[str]
) -> None:
    event = make.event()
    speakers = tuple(make.speaker(full_name=name) for name in "ABC")
    costs = []
    for hours in ([2], [1, 0]):
        for hour in hours:
            make.session(
                event, title=f"At {hour}", room=make.room(event), speakers=speakers, **at(event, hour)
            )
        path = f"/events/{event.id}"
        statements.clear()
        sessions = anonymous.get(path).json()["sessions"]
        costs.append((len(sessions), len(statements)))
    assert costs == [(1, 1), (3, 1)]
    assert [session["title"] for session in sessions] == ["At 0", "At 1", "At 2"]
    assert [[speaker["full_name"] for speaker in session["speakers"]] for session in sessions] == [
        ["A", "B", "C"]
    ] * 3


def test_an_event_shows_its_sessions_as_they_show_themselves(anonymous: Caller, make: Factory) -> None:
    event = make.event()
    session = make.session(event, room=make.room(event), speakers=(make.speaker(),))
    make.session(event, deleted_at=soon(-1))
    shown = anonymous.get(f"/events/{event.id}").json()["sessions"]
    assert shown == [anonymous.get(f"/sessions/{session.id}").json()]


@pytest.mark.parametrize("event_id", [0, -1, 2**31, 10**20, "x"])
def test_an_id_that_cannot_be_one_is_refused(anonymous: Caller, event_id: object) -> None:
    assert refused(anonymous.get(f"/events/{event_id}")) == (422, "invalid-request")


def test_an_event_that_is_not_there_is_not_found(anonymous: Caller, make: Factory) -> None:
    gone = make.event(deleted_at=soon(-1))
    for event_id in (gone.id, 2**31 - 1):
        assert refused(anonymous.get(f"/events/{event_id}")) == (404, "not-found")


@pytest.mark.parametrize("path", ["/events/{0}", "/sessions?event_id={0}", "/speakers?event_id={0}"])
def test_a_draft_looks_like_no_event_at_all_to_strangers(
    anonymous: Caller, signed_in: SignedIn, make: Factory, path: str
) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    make.session(draft, speakers=(make.speaker(),))
    for caller in (anonymous, signed_in(make.user())):
        shown, missing = (caller.get(path.format(number)) for number in (draft.id, 2**31 - 1))
        assert refused(shown) == (404, "not-found")
        assert shown.json()["detail"] == missing.json()["detail"]


# Editing


def test_patch_with_one_field_changes_that_field_only(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner, name="Before", venue="Teatro Colón")
    before = signed_in(owner).get(f"/events/{event.id}").json()
    response = signed_in(owner).patch(f"/events/{event.id}", json={"name": "After"})
    assert response.status_code == 200
    assert response.json() == {**before, "name": "After", "updated_at": response.json()["updated_at"]}


def test_null_clears_what_may_be_empty_and_is_refused_elsewhere(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner, description="Text", venue="Casa", registration_opens_at=soon(1))
    clear = dict.fromkeys(("description", "venue", "registration_opens_at", "registration_closes_at"))
    response = signed_in(owner).patch(f"/events/{event.id}", json=clear)
    assert {name: response.json()[name] for name in clear} == clear
    for name in ("name", "start_at", "end_at", "timezone", "capacity_total", "status", "waitlist_enabled"):
        response = signed_in(owner).patch(f"/events/{event.id}", json={name: None})
        assert (refused(response), response.json()["errors"][0]["pointer"]) == (
            (422, "invalid-request"),
            f"/{name}",
        )


def test_an_empty_patch_changes_nothing(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner, updated_at=soon(-9))
    before = signed_in(owner).get(f"/events/{event.id}").json()
    assert signed_in(owner).patch(f"/events/{event.id}", json={}).json() == before


@pytest.mark.parametrize("field", ["start_at", "end_at"])
def test_one_time_cannot_contradict_the_other_that_stays(
    signed_in: SignedIn, make: Factory, field: str
) -> None:
    owner = make.user()
    event = make.event(owner)
    wrong = {"start_at": event.end_at, "end_at": event.start_at}
    response = signed_in(owner).patch(f"/events/{event.id}", json={field: z(wrong[field])})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/end_at"]


def test_updated_at_changes_with_edits_and_not_with_registrations(signed_in: SignedIn, make: Factory) -> None:
    owner, long_ago = make.user(), soon(-9)
    event = make.event(owner, updated_at=long_ago)
    signed_in(make.user()).post(f"/registrations/events/{event.id}")
    sold = signed_in(owner).get(f"/events/{event.id}").json()
    assert (sold["capacity_available"], sold["updated_at"]) == (99, z(long_ago))
    edited = signed_in(owner).patch(f"/events/{event.id}", json={"venue": "Casa"}).json()
    assert edited["updated_at"] > z(soon(-1))


def test_echoing_capacity_available_does_not_reopen_a_full_event(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner, capacity_total=1)
    echoed = signed_in(owner).get(f"/events/{event.id}").json()["capacity_available"]
    assert echoed == 1
    make.registration(event)
    response = signed_in(owner).patch(
        f"/events/{event.id}", json={"name": "Renamed", "capacity_available": echoed}
    )
    assert (response.status_code, response.json()["capacity_available"]) == (200, 0)
    late = signed_in(make.user()).post(f"/registrations/events/{event.id}")
    assert refused(late) == (409, "event-full")


def test_capacity_cannot_fall_below_what_is_confirmed(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    for status in (*[RegistrationStatus.CONFIRMED] * 2, RegistrationStatus.CANCELLED):
        make.registration(event, status=status)
    path, me = f"/events/{event.id}", signed_in(owner)
    below = me.patch(path, json={"capacity_total": 1})
    assert refused(below) == (409, "capacity-below-confirmed")
    assert below.json()["confirmed"] == 2
    exactly = me.patch(path, json={"capacity_total": 2})
    assert (exactly.status_code, exactly.json()["capacity_available"]) == (200, 0)


def test_a_window_that_leaves_sessions_outside_is_refused_with_those_sessions(
    signed_in: SignedIn, make: Factory
) -> None:
    owner = make.user()
    event = make.event(owner)
    speaker = make.speaker(owner)
    first = make.session(event, room=make.room(event, name="Aula"), speakers=(speaker,), title="First")
    make.session(event, title="Later", **at(event, 5))
    make.session(event, deleted_at=soon(-1))
    response = signed_in(owner).patch(f"/events/{event.id}", json={"start_at": z(event.start_at + 5 * HOUR)})
    assert refused(response) == (409, "session-outside-event")
    assert response.json()["sessions"] == [
        {
            "session_id": first.id,
            "title": "First",
            "start_at": z(first.start_at),
            "end_at": z(first.end_at),
            "room": "Aula",
            "speaker_ids": [speaker.id],
        }
    ]
    until_the_last_ends = {"end_at": z(event.start_at + 6 * HOUR)}
    assert signed_in(owner).patch(f"/events/{event.id}", json=until_the_last_ends).status_code == 200


MOVES = {
    ("DRAFT", "PUBLISHED"),
    ("DRAFT", "CANCELLED"),
    ("PUBLISHED", "DRAFT"),
    ("PUBLISHED", "FINISHED"),
    ("PUBLISHED", "CANCELLED"),
}


@pytest.mark.parametrize("status", EventStatus)
def test_the_status_moves_as_the_contract_says_and_no_other_way(
    signed_in: SignedIn, make: Factory, status: EventStatus
) -> None:
    owner = make.user()
    for wanted in EventStatus:
        event = make.event(owner, status=status)
        response = signed_in(owner).patch(f"/events/{event.id}", json={"status": wanted})
        if wanted is status or (status, wanted) in MOVES:
            assert (response.status_code, response.json()["status"]) == (200, wanted)
        else:
            assert refused(response) == (409, "illegal-status-change")


@pytest.mark.parametrize("live", [RegistrationStatus.CONFIRMED, RegistrationStatus.WAITLISTED])
def test_an_event_is_a_draft_again_only_while_nobody_is_registered(
    signed_in: SignedIn, make: Factory, live: RegistrationStatus
) -> None:
    owner = make.user()
    used, unused = make.event(owner), make.event(owner)
    make.registration(used, status=live)
    make.registration(unused, status=RegistrationStatus.CANCELLED)
    back = {"status": "DRAFT"}
    assert refused(signed_in(owner).patch(f"/events/{used.id}", json=back)) == (409, "illegal-status-change")
    assert signed_in(owner).patch(f"/events/{unused.id}", json=back).status_code == 200


def test_a_cancelled_event_cancels_its_live_registrations(signed_in: SignedIn, make: Factory) -> None:
    owner, guest = make.user(), make.user()
    event = make.event(owner)
    make.registration(event, guest)
    make.registration(event, status=RegistrationStatus.WAITLISTED)
    response = signed_in(owner).patch(f"/events/{event.id}", json={"status": "CANCELLED"})
    assert (response.json()["capacity_available"], response.json()["waitlist_count"]) == (100, 0)
    attendees = signed_in(owner).get(f"/events/{event.id}/registrations").json()["items"]
    assert [item["status"] for item in attendees] == ["CANCELLED", "CANCELLED"]
    (mine,) = signed_in(guest).get("/registrations/me").json()["items"]
    assert (mine["status"], mine["event"]["status"]) == ("CANCELLED", "CANCELLED")


def test_a_finished_event_keeps_its_registrations(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    make.registration(event)
    response = signed_in(owner).patch(f"/events/{event.id}", json={"status": "FINISHED"})
    assert response.json()["capacity_available"] == 99


@pytest.mark.parametrize("ending", ["cancel", "delete"])
def test_an_event_that_is_off_frees_its_speakers(signed_in: SignedIn, make: Factory, ending: str) -> None:
    owner = make.user()
    event, other, speaker = make.event(owner), make.event(owner), make.speaker(owner)
    make.session(event, speakers=(speaker,))
    me = signed_in(owner)
    plan = {
        "event_id": other.id,
        "title": "Talk",
        "start_at": z(other.start_at),
        "end_at": z(other.start_at + HOUR),
        "speaker_ids": [speaker.id],
    }
    assert refused(me.post("/sessions", json=plan)) == (409, "speaker-busy")
    if ending == "cancel":
        me.patch(f"/events/{event.id}", json={"status": "CANCELLED"})
    else:
        me.delete(f"/events/{event.id}")
    assert me.post("/sessions", json=plan).status_code == 201


def test_an_event_that_is_cancelled_frees_its_rooms(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    room = make.room(event)
    make.session(event, room=room)
    plan = {
        "event_id": event.id,
        "title": "Second",
        "start_at": z(event.start_at),
        "end_at": z(event.start_at + HOUR),
        "room": room.name,
    }
    me = signed_in(owner)
    assert refused(me.post("/sessions", json=plan)) == (409, "room-taken")
    me.patch(f"/events/{event.id}", json={"status": "CANCELLED"})
    assert me.post("/sessions", json=plan).status_code == 201


def test_a_cancelled_event_is_still_shown_to_all(anonymous: Caller, make: Factory) -> None:
    event = make.event(status=EventStatus.CANCELLED)
    assert anonymous.get(f"/events/{event.id}").json()["status"] == "CANCELLED"


@pytest.mark.parametrize("stranger", ["anonymous", "user", "staff"])
def test_nobody_edits_the_event_of_another(
    anonymous: Caller, signed_in: SignedIn, make: Factory, db: Database, stranger: str
) -> None:
    event = make.event(name="Mine")
    callers = {
        "anonymous": anonymous,
        "user": signed_in(make.user(role=Role.ORGANIZER)),
        "staff": signed_in(make.member(event, TeamRole.STAFF)),
    }
    response = callers[stranger].patch(f"/events/{event.id}", json={"name": "Yours"})
    assert response.status_code == (401 if stranger == "anonymous" else 403)
    assert db.get_one(Event, event.id).name == "Mine"


# Deleting


def test_a_deleted_event_is_gone_and_its_registrations_stay_as_cancelled(
    anonymous: Caller, signed_in: SignedIn, make: Factory
) -> None:
    owner, guest = make.user(), make.user()
    event = make.event(owner)
    session = make.session(event)
    registration = make.registration(event, guest)
    response = signed_in(owner).delete(f"/events/{event.id}")
    assert (response.status_code, response.content) == (204, b"")
    for path in (f"/events/{event.id}", f"/sessions/{session.id}", f"/rooms?event_id={event.id}"):
        assert refused(anonymous.get(path)) == (404, "not-found")
    assert refused(signed_in(owner).delete(f"/events/{event.id}")) == (404, "not-found")
    assert all_of(anonymous) == []
    (mine,) = signed_in(guest).get("/registrations/me").json()["items"]
    assert (mine["id"], mine["status"]) == (registration.id, "CANCELLED")
    assert (mine["event"]["id"], mine["event"]["status"]) == (event.id, "CANCELLED")
