"""Registrations over HTTP: places taken, given back, listed and exported."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.models import Registration, User
from app.models.enums import EventStatus, RegistrationStatus, TeamRole
from app.services.registrations import ROWS_AT_ONCE
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import DAY, Factory, soon
from app.tests.routers.conftest import SignedIn, ids, refused, z


@pytest.fixture
def person(make: Factory) -> User:
    return make.user()


@pytest.fixture
def me(signed_in: SignedIn, person: User) -> Caller:
    return signed_in(person)


def places(caller: Caller, event_id: int) -> int:
    available: int = caller.get(f"/events/{event_id}").json()["capacity_available"]
    return available


# Registering


def test_a_registration_takes_a_place_and_says_where_it_can_be_read(
    me: Caller, make: Factory, person: User
) -> None:
    event = make.event(capacity_total=2)
    response = me.post(f"/registrations/events/{event.id}")
    assert response.status_code == 201
    made = response.json()
    assert made == {
        "id": made["id"],
        "event_id": event.id,
        "user_id": person.id,
        "status": "CONFIRMED",
        "waitlist_position": None,
        "ticket_code": made["ticket_code"],
        "created_at": made["created_at"],
        "checked_in_at": None,
        "overlaps": [],
    }
    assert response.headers["location"] == f"{PREFIX}/registrations/{made['id']}"
    del made["overlaps"]
    assert me.get(f"/registrations/{made['id']}").json() == made
    assert places(me, event.id) == 1


def test_the_short_way_and_the_long_way_give_the_same_answers(
    me: Caller, anonymous: Caller, make: Factory
) -> None:
    event, other, full = make.event(), make.event(), make.event(capacity_total=1)
    make.registration(full)
    key = {"Idempotency-Key": "the-long-way"}
    for caller, short, long, headers in (
        (me, event.id, f"00{other.id}", {}),
        (me, event.id, f"00{event.id}", {}),
        (me, full.id, full.id, key),
        (me, 999_999_999, 999_999_999, key),
        (anonymous, event.id, event.id, key),
    ):
        plain = caller.post(f"/registrations/events/{short}")
        other_way = caller.post(f"/registrations/events/{long}", headers=headers)
        assert plain.status_code == other_way.status_code
        assert plain.headers.keys() == other_way.headers.keys()
        assert plain.headers["content-type"] == other_way.headers["content-type"]
        assert plain.json().keys() == other_way.json().keys()
        assert plain.json().get("type") == other_way.json().get("type")


def test_the_last_place_is_given_once(signed_in: SignedIn, make: Factory) -> None:
    event = make.event(capacity_total=1)
    answers = [signed_in(make.user()).post(f"/registrations/events/{event.id}") for _ in range(2)]
    assert answers[0].status_code == 201
    assert refused(answers[1]) == (409, "event-full")


def test_nobody_holds_two_places_at_one_event(me: Caller, make: Factory) -> None:
    event = make.event(capacity_total=1)
    assert me.post(f"/registrations/events/{event.id}").status_code == 201
    # Whoever has the last place is told so, not that the event is full.
    assert refused(me.post(f"/registrations/events/{event.id}")) == (409, "already-registered")


@pytest.mark.parametrize("status", [EventStatus.CANCELLED, EventStatus.FINISHED])
def test_an_event_that_is_not_published_takes_no_registrations(
    me: Caller, make: Factory, status: EventStatus
) -> None:
    response = me.post(f"/registrations/events/{make.event(status=status).id}")
    assert refused(response) == (409, "registration-closed")


def test_a_draft_takes_no_registrations_and_only_its_team_learns_why(
    me: Caller, signed_in: SignedIn, make: Factory
) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    path = f"/registrations/events/{draft.id}"
    assert refused(me.post(path)) == (404, "not-found")
    staff = signed_in(make.member(draft, TeamRole.STAFF))
    assert refused(staff.post(path)) == (409, "registration-closed")


@pytest.mark.parametrize(
    ("window", "open_now"),
    [
        ({"start_at": soon(-3), "end_at": soon(-2)}, False),
        ({"start_at": soon(-3), "end_at": soon(2)}, True),
        ({"registration_opens_at": soon(1)}, False),
        ({"registration_opens_at": soon(-1)}, True),
        ({"registration_closes_at": soon(-1)}, False),
        ({"registration_closes_at": soon(1)}, True),
        ({"registration_opens_at": soon(-2), "registration_closes_at": soon(-1)}, False),
        ({"registration_opens_at": soon(-1), "registration_closes_at": soon(1)}, True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_registration_is_open_inside_its_window_and_before_the_event_ends(
    me: Caller,
    make: Factory,
    window: dict[str, Any],
    open_now: bool,  # noqa: FBT001
) -> None:
    response = me.post(f"/registrations/events/{make.event(**window).id}")
    if open_now:
        assert response.status_code == 201
    else:
        assert refused(response) == (409, "registration-closed")


def test_an_event_that_is_not_there_takes_no_registrations(me: Caller, make: Factory) -> None:
    for event_id in (2**31 - 1, make.event(deleted_at=soon(-1)).id):
        assert refused(me.post(f"/registrations/events/{event_id}")) == (404, "not-found")
    assert refused(me.post(f"/registrations/events/{2**31}")) == (422, "invalid-request")


def test_overlaps_name_other_events_at_that_time_where_i_hold_a_place(
    me: Caller, make: Factory, person: User
) -> None:
    event = make.event(start_at=soon(30), end_at=soon(33))
    inside = make.event(start_at=soon(31), end_at=soon(32))
    across = make.event(start_at=soon(20), end_at=soon(31))
    given_back = make.event()
    before = make.event(start_at=soon(29), end_at=soon(30))
    after = make.event(start_at=soon(33), end_at=soon(34))
    for other in (inside, across, before, after):
        make.registration(other, person)
    make.registration(given_back, person, status=RegistrationStatus.CANCELLED)
    make.registration(make.event(), make.user())
    response = me.post(f"/registrations/events/{event.id}")
    assert (response.status_code, response.json()["overlaps"]) == (201, [inside.id, across.id])


# Cancelling


def test_a_cancelled_registration_frees_its_place_at_once(
    me: Caller, signed_in: SignedIn, make: Factory
) -> None:
    event = make.event(capacity_total=1)
    path = f"/registrations/events/{event.id}"
    made = me.post(path).json()
    response = me.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert me.get(f"/registrations/{made['id']}").json()["status"] == "CANCELLED"
    assert signed_in(make.user()).post(path).status_code == 201


def test_registering_again_is_a_new_registration(me: Caller, make: Factory) -> None:
    path = f"/registrations/events/{make.event().id}"
    first = me.post(path).json()
    me.delete(path)
    second = me.post(path).json()
    assert second["id"] > first["id"]
    assert second["ticket_code"] != first["ticket_code"]
    mine = me.get("/registrations/me").json()["items"]
    assert [(item["id"], item["status"]) for item in mine] == [
        (second["id"], "CONFIRMED"),
        (first["id"], "CANCELLED"),
    ]


def test_there_is_nothing_to_cancel_without_a_live_registration(
    me: Caller, make: Factory, person: User
) -> None:
    cancelled = make.event()
    make.registration(cancelled, person, status=RegistrationStatus.CANCELLED)
    make.registration(cancelled)
    for event_id in (cancelled.id, make.event().id, 2**31 - 1):
        assert refused(me.delete(f"/registrations/events/{event_id}")) == (404, "not-registered")
    assert places(me, cancelled.id) == 99


def test_who_has_been_checked_in_cannot_cancel(me: Caller, make: Factory, person: User) -> None:
    event = make.event()
    make.registration(event, person, checked_in_at=soon(-1))
    assert refused(me.delete(f"/registrations/events/{event.id}")) == (409, "already-checked-in")


@pytest.mark.parametrize(
    "over", [{"status": EventStatus.FINISHED}, {"start_at": soon(-3), "end_at": soon(-2)}]
)
def test_nothing_is_cancelled_once_the_event_is_over(
    me: Caller, make: Factory, person: User, over: dict[str, Any]
) -> None:
    event = make.event(**over)
    make.registration(event, person)
    assert refused(me.delete(f"/registrations/events/{event.id}")) == (409, "registration-closed")


def test_a_place_can_be_given_back_after_registration_has_closed(
    me: Caller, make: Factory, person: User
) -> None:
    event = make.event(registration_closes_at=soon(-1))
    make.registration(event, person)
    assert me.delete(f"/registrations/events/{event.id}").status_code == 204


# Mine


def test_my_registrations_are_listed_newest_first_with_their_events(
    anonymous: Caller, me: Caller, make: Factory, person: User
) -> None:
    one, two = make.event(), make.event()
    first = make.registration(one, person)
    second = make.registration(two, person, status=RegistrationStatus.CANCELLED)
    make.registration(one)
    page = me.get("/registrations/me").json()
    assert (page["total"], page["total_exact"], page["page"], page["size"]) == (2, True, 1, 10)
    assert [item["id"] for item in page["items"]] == [second.id, first.id]
    assert page["items"][1] == {
        **me.get(f"/registrations/{first.id}").json(),
        "event": next(event for event in anonymous.get("/events").json()["items"] if event["id"] == one.id),
    }
    cancelled = me.get("/registrations/me", params={"status": "CANCELLED"})
    assert (ids(cancelled), cancelled.json()["total"]) == ([second.id], 1)
    assert ids(me.get("/registrations/me", params={"page": 2, "size": 1})) == [first.id]
    assert refused(me.get("/registrations/me", params={"status": "LOST"})) == (422, "invalid-request")


def test_a_place_on_the_waitlist_is_counted_from_the_head(
    me: Caller, signed_in: SignedIn, make: Factory, person: User
) -> None:
    event, waiting = make.event(), RegistrationStatus.WAITLISTED
    head = make.user()
    for user in (head, person):
        make.registration(event, user, status=waiting)
    make.registration(make.event(), status=waiting)
    positions = [
        caller.get("/registrations/me").json()["items"][0]["waitlist_position"]
        for caller in (signed_in(head), me)
    ]
    assert positions == [1, 2]


def test_a_registration_is_read_by_whose_it_is_and_by_who_runs_the_event(
    me: Caller, signed_in: SignedIn, make: Factory, person: User
) -> None:
    event = make.event()
    path = f"/registrations/{make.registration(event, person).id}"
    assert me.get(path).status_code == 200
    assert signed_in(make.member(event, TeamRole.STAFF)).get(path).status_code == 200
    assert refused(signed_in(make.user()).get(path)) == (404, "not-found")
    assert refused(me.get(f"/registrations/{2**31 - 1}")) == (404, "not-found")


# Attendees


@pytest.fixture
def run(signed_in: SignedIn, make: Factory) -> Any:
    """Make an event and call as one of its staff."""
    event = make.event()
    return event, signed_in(make.member(event, TeamRole.STAFF))


def test_attendees_are_listed_in_the_order_of_acceptance_with_who_they_are(make: Factory, run: Any) -> None:
    event, staff = run
    ana = make.user(full_name="Ana")
    first, second = make.registration(event, ana), make.registration(event)
    make.registration(make.event())
    path = f"/events/{event.id}/registrations"
    page = staff.get(path).json()
    assert ([item["id"] for item in page["items"]], page["total"]) == ([first.id, second.id], 2)
    assert page["items"][0] == {
        **staff.get(f"/registrations/{first.id}").json(),
        "user": {"id": ana.id, "email": ana.email, "full_name": "Ana"},
    }
    assert ids(staff.get(path, params={"page": 2, "size": 1})) == [second.id]


def test_attendees_are_found_by_part_of_name_or_email_in_whatever_case(make: Factory, run: Any) -> None:
    event, staff = run
    by_name = make.registration(event, make.user(full_name="Ana_María 100%")).id
    by_email = make.registration(event, make.user(email="ana.maria@example.net", full_name=None)).id
    gone = make.registration(event, make.user(full_name="Anabel"), status=RegistrationStatus.CANCELLED).id
    make.registration(event, make.user(full_name="Luis"))
    path = f"/events/{event.id}/registrations"

    def found(**params: str) -> tuple[list[int], int]:
        response = staff.get(path, params=params)
        return ids(response), response.json()["total"]

    assert found(search="ANA") == ([by_name, by_email, gone], 3)
    assert found(search="ana", status="CONFIRMED") == ([by_name, by_email], 2)
    assert found(search="@EXAMPLE.NET") == ([by_email], 1)
    assert found(search="a_m") == ([by_name], 1)
    assert found(search="0%") == ([by_name], 1)
    assert found(status="CANCELLED") == ([gone], 1)


def test_lists_cost_the_same_queries_whatever_their_length(
    me: Caller, make: Factory, person: User, run: Any, statements: list[str]
) -> None:
    event, staff = run
    path, costs = f"/events/{event.id}/registrations", []
    for more in (1, 2):
        for _ in range(more):
            make.registration(event)
            make.registration(make.event(), person)
        for caller, where in (
            (me, "/registrations/me"),
            (me, "/registrations/events"),
            (staff, path),
        ):
            statements.clear()
            response = caller.get(where)
            costs.append((len(ids(response)), len(statements)))
    assert costs == [(1, 4), (1, 3), (1, 6), (3, 4), (3, 3), (3, 6)]


# The export


def rows(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(response.text)))


def test_the_export_is_a_csv_file_with_a_line_for_each_registration(make: Factory, run: Any) -> None:
    event, staff = run
    ana = make.user(full_name='Ana "la jefa", Gómez')
    first = make.registration(event, ana, checked_in_at=soon(-1))
    second = make.registration(event, make.user(full_name=None), status=RegistrationStatus.CANCELLED)
    make.registration(make.event())
    response = staff.get(f"/events/{event.id}/registrations.csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == (f'attachment; filename="registrations-{event.id}.csv"')
    assert rows(response) == [
        {
            "id": str(first.id),
            "status": "CONFIRMED",
            "email": ana.email,
            "full_name": 'Ana "la jefa", Gómez',
            "ticket_code": cell(first.ticket_code),
            "created_at": z(first.created_at),
            "checked_in_at": z(soon(-1)),
        },
        {
            "id": str(second.id),
            "status": "CANCELLED",
            "email": second_email(make, second),
            "full_name": "",
            "ticket_code": cell(second.ticket_code),
            "created_at": z(second.created_at),
            "checked_in_at": "",
        },
    ]


def cell(code: str) -> str:
    """Write a ticket code as the export does: a random one may begin with a sign."""
    return f"'{code}" if code.startswith("-") else code


def second_email(make: Factory, registration: Registration) -> str:
    return make.db.get_one(User, registration.user_id).email


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
)
def test_a_spreadsheet_runs_nothing_of_the_export(make: Factory, run: Any, start: str) -> None:
    event, staff = run
    name = f"{start}HYPERLINK(1)"
    make.registration(event, make.user(full_name=name))
    response = staff.get(f"/events/{event.id}/registrations.csv")
    (row,) = csv.DictReader(io.StringIO(response.text, newline=""))
    assert row["full_name"] == f"'{name}"


def test_an_export_longer_than_a_chunk_has_every_registration_once_and_in_order(
    make: Factory, run: Any, db: Database, statements: list[str]
) -> None:
    event, staff = run
    count = ROWS_AT_ONCE + 20
    db.execute(text("UPDATE events SET capacity_total = 1000 WHERE id = :event"), {"event": event.id})
    bulk = text("""
        WITH people AS (
            INSERT INTO users (email, password_hash)
            SELECT 'bulk' || n || '@example.com', '' FROM generate_series(1, :count) AS n RETURNING id
        )
        INSERT INTO registrations (event_id, user_id, status, ticket_code)
        SELECT :event, id, 'CONFIRMED', 'bulk-' || id FROM people
    """)
    db.execute(bulk, {"count": count, "event": event.id})
    db.commit()
    path = f"/events/{event.id}/registrations.csv"
    statements.clear()
    exported = [int(row["id"]) for row in rows(staff.get(path))]
    chunks = [statement for statement in statements if "FROM registrations" in statement]
    assert (len(exported), len(set(exported))) == (count, count)
    assert exported == sorted(exported)
    # A full chunk, the rest, and nothing more.
    assert len(chunks) == 3


def test_an_export_of_nobody_is_its_heading(make: Factory, run: Any) -> None:
    event, staff = run
    response = staff.get(f"/events/{event.id}/registrations.csv")
    assert response.text == "id,status,email,full_name,ticket_code,created_at,checked_in_at\r\n"


def test_registrations_of_a_past_event_are_still_listed(make: Factory, run: Any, db: Database) -> None:
    event, staff = run
    registration = make.registration(event)
    db.execute(
        text("UPDATE events SET start_at = :start, end_at = :end WHERE id = :event"),
        {"start": soon() - 3 * DAY, "end": soon() - DAY, "event": event.id},
    )
    db.commit()
    assert ids(staff.get(f"/events/{event.id}/registrations")) == [registration.id]
