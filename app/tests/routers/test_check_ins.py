"""Check-ins over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from app import services
from app.core.exceptions import UnknownTicket
from app.models import Event, Registration, Scan, User
from app.models.enums import RegistrationStatus, TeamRole
from app.schemas.check_ins import CheckInCreate
from app.tests.conftest import Caller
from app.tests.factories import HOUR, Factory

UNKNOWN = "nobody-holds-this"


@pytest.fixture
def event(make: Factory) -> Event:
    return make.event(waitlist_enabled=True)


@pytest.fixture
def staff(make: Factory, event: Event) -> User:
    return make.member(event, TeamRole.STAFF)


@pytest.fixture
def door(signed_in: Callable[..., Caller], staff: User, event: Event) -> "Door":
    return Door(signed_in(staff), event)


@pytest.fixture
def ticket(make: Factory, event: Event) -> Registration:
    """Return a confirmed registration of yesterday, so that it may have been scanned since."""
    return make.registration(event, created_at=moment(-24))


class Door:
    """Someone with a scanner at an event."""

    def __init__(self, caller: Caller, event: Event) -> None:
        self.caller = caller
        self.path = f"/events/{event.id}/check-ins"

    def scan(self, code: str, at: datetime | None = None, **options: Any) -> Any:
        body = {"ticket_code": code} if at is None else {"ticket_code": code, "scanned_at": at.isoformat()}
        return self.caller.post(self.path, json=body, **options)

    def send(self, *scans: tuple[str, datetime, str]) -> Any:
        """Send a batch of (ticket code, time, name)."""
        body = [
            {"ticket_code": code, "scanned_at": at.isoformat(), "client_id": name} for code, at, name in scans
        ]
        return self.caller.post(f"{self.path}/batch", json={"scans": body})

    def results(self, *scans: tuple[str, datetime, str]) -> list[tuple[str, str, datetime | None]]:
        """Send a batch and return (name, verdict, time of the check-in) of each scan."""
        response = self.send(*scans)
        assert response.status_code == 200, response.text
        return [
            (entry["client_id"], entry["verdict"], when(entry["checked_in_at"]))
            for entry in response.json()["results"]
        ]

    def log(self, **wanted: Any) -> Any:
        return self.caller.get(self.path, params={"size": 100, **wanted}).json()


def moment(hours: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + hours * HOUR


def when(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def checked_in_at(make: Factory, ticket: Registration) -> datetime | None:
    make.db.expire_all()
    return make.db.get_one(Registration, ticket.id).checked_in_at


def test_the_first_scan_is_201_and_every_other_200(door: Door, ticket: Registration, make: Factory) -> None:
    first, second = door.scan(ticket.ticket_code), door.scan(ticket.ticket_code)
    assert (first.status_code, second.status_code) == (201, 200)
    holder = make.db.get_one(User, ticket.user_id)
    assert first.json() == {
        "registration_id": ticket.id,
        "user": {"id": holder.id, "email": holder.email, "full_name": None},
        "ticket_code": ticket.ticket_code,
        "checked_in_at": first.json()["checked_in_at"],
        "first": True,
    }
    assert second.json() == {**first.json(), "first": False}
    assert checked_in_at(make, ticket) == when(first.json()["checked_in_at"])


def test_what_a_scanner_adds_around_the_code_is_no_part_of_it(door: Door, ticket: Registration) -> None:
    assert door.scan(f" {ticket.ticket_code}\r\n").json()["ticket_code"] == ticket.ticket_code


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (RegistrationStatus.CANCELLED, (409, "/problems/ticket-cancelled")),
        (RegistrationStatus.WAITLISTED, (409, "/problems/ticket-not-confirmed")),
    ],
)
def test_a_ticket_without_a_place_is_refused(
    door: Door, event: Event, make: Factory, status: RegistrationStatus, answer: tuple[int, str]
) -> None:
    ticket = make.registration(event, status=status)
    response = door.scan(ticket.ticket_code)
    assert (response.status_code, response.json()["type"]) == answer
    assert response.headers["content-type"] == "application/problem+json"
    assert checked_in_at(make, ticket) is None


def test_another_events_ticket_is_unknown_here(door: Door, make: Factory) -> None:
    elsewhere = make.registration(make.event())
    response = door.scan(elsewhere.ticket_code)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-ticket")
    assert checked_in_at(make, elsewhere) is None
    assert [entry["registration_id"] for entry in door.log()["items"]] == [None]


def test_a_cancelled_events_tickets_are_cancelled(
    signed_in: Callable[..., Caller], door: Door, event: Event, ticket: Registration, make: Factory
) -> None:
    door.scan(ticket.ticket_code)
    signed_in(make.admin()).patch(f"/events/{event.id}", json={"status": "CANCELLED"})
    assert door.scan(ticket.ticket_code).json()["type"] == "/problems/ticket-cancelled"


def test_refused_scans_are_kept_with_their_reason_newest_first(
    door: Door, event: Event, ticket: Registration, staff: User, make: Factory
) -> None:
    waiting = make.registration(event, status=RegistrationStatus.WAITLISTED)
    for code in (UNKNOWN, waiting.ticket_code, ticket.ticket_code, ticket.ticket_code):
        door.scan(code)
    log = door.log()
    assert [(entry["verdict"], entry["ticket_code"]) for entry in log["items"]] == [
        ("already-checked-in", ticket.ticket_code),
        ("checked-in", ticket.ticket_code),
        ("ticket-not-confirmed", waiting.ticket_code),
        ("unknown-ticket", UNKNOWN),
    ]
    assert (log["total"], log["total_exact"]) == (4, True)
    unknown = log["items"][-1]
    assert (unknown["user"], unknown["registration_id"], unknown["checked_in_at"]) == (None, None, None)
    assert {entry["scanner"]["id"] for entry in log["items"]} == {staff.id}
    assert [entry["verdict"] for entry in door.log(verdict="unknown-ticket")["items"]] == ["unknown-ticket"]


def test_a_service_returns_the_refusal_so_that_the_scan_is_kept_whoever_calls(
    event: Event, staff: User, make: Factory
) -> None:
    command = CheckInCreate(ticket_code=UNKNOWN)
    assert isinstance(services.check_ins.check_in(make.db, staff, event.id, command), UnknownTicket)
    assert make.db.scalar(select(func.count()).select_from(Scan)) == 1


def test_a_check_in_under_a_key_is_answered_again_as_the_first(door: Door, ticket: Registration) -> None:
    key = {"Idempotency-Key": "gate-7-0001"}
    first, again = (door.scan(ticket.ticket_code, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert door.log()["total"] == 1


def test_a_refusal_under_a_key_is_not_remembered(door: Door, event: Event, make: Factory) -> None:
    waiting = make.registration(event, status=RegistrationStatus.WAITLISTED)
    key = {"Idempotency-Key": "gate-7-0002"}
    assert door.scan(waiting.ticket_code, headers=key).status_code == 409
    waiting.status = RegistrationStatus.CONFIRMED
    make.db.commit()
    assert door.scan(waiting.ticket_code, headers=key).status_code == 201


def test_who_has_been_checked_in_cannot_cancel(
    signed_in: Callable[..., Caller], door: Door, event: Event, ticket: Registration, make: Factory
) -> None:
    door.scan(ticket.ticket_code)
    response = signed_in(make.db.get_one(User, ticket.user_id)).delete(f"/registrations/events/{event.id}")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/already-checked-in")


def test_a_batch_is_judged_scan_after_scan_in_its_order(
    door: Door, event: Event, ticket: Registration, make: Factory
) -> None:
    gone = make.registration(event, status=RegistrationStatus.CANCELLED)
    waiting = make.registration(event, status=RegistrationStatus.WAITLISTED)
    at = moment(-1)
    later = at + timedelta(minutes=5)
    assert door.results(
        (gone.ticket_code, at, "a"),
        (ticket.ticket_code, at, "b"),
        (UNKNOWN, at, "c"),
        (ticket.ticket_code, later, "d"),
        (waiting.ticket_code, at, "e"),
    ) == [
        ("a", "ticket-cancelled", None),
        ("b", "checked-in", at),
        ("c", "unknown-ticket", None),
        ("d", "already-checked-in", at),
        ("e", "ticket-not-confirmed", None),
    ]
    assert [entry["client_id"] for entry in door.log()["items"]] == ["e", "d", "c", "b", "a"]


def test_the_earliest_scan_is_the_check_in_even_if_it_arrives_late(
    door: Door, ticket: Registration, make: Factory
) -> None:
    early, late = moment(-2), moment(-1)
    assert door.scan(ticket.ticket_code, late).status_code == 201
    assert door.results((ticket.ticket_code, early, "a")) == [("a", "already-checked-in", early)]
    assert checked_in_at(make, ticket) == early
    assert when(door.scan(ticket.ticket_code).json()["checked_in_at"]) == early


def test_the_earliest_scan_of_one_batch_is_the_check_in_wherever_it_stands(
    door: Door, ticket: Registration, make: Factory
) -> None:
    early, late = moment(-2), moment(-1)
    assert door.results((ticket.ticket_code, late, "a"), (ticket.ticket_code, early, "b")) == [
        ("a", "checked-in", late),
        ("b", "already-checked-in", early),
    ]
    assert checked_in_at(make, ticket) == early


def test_a_batch_sent_again_answers_the_same_and_keeps_no_scan_twice(
    door: Door, event: Event, ticket: Registration, make: Factory
) -> None:
    gone = make.registration(event, status=RegistrationStatus.CANCELLED)
    batch = [
        (ticket.ticket_code, moment(-1), "a"),
        (gone.ticket_code, moment(-1), "b"),
        (UNKNOWN, moment(-1), "c"),
    ]
    first = door.send(*batch)
    # What happens in between changes no answer that was given.
    door.results((ticket.ticket_code, moment(-3), "earlier"))
    again = door.send(*batch)
    assert (again.status_code, again.json()) == (200, first.json())
    assert door.log()["total"] == 4
    assert door.results(*batch, (ticket.ticket_code, moment(0), "d"))[-1][:2] == ("d", "already-checked-in")


def test_a_scan_twice_in_one_batch_is_one_scan(door: Door, ticket: Registration) -> None:
    scan = (ticket.ticket_code, moment(-1), "a")
    assert [verdict for _, verdict, _ in door.results(scan, scan)] == ["checked-in", "checked-in"]
    assert door.log()["total"] == 1


def test_scans_are_named_by_each_account_for_itself(
    signed_in: Callable[..., Caller], door: Door, event: Event, ticket: Registration, make: Factory
) -> None:
    other = Door(signed_in(make.member(event, TeamRole.STAFF)), event)
    assert door.results((ticket.ticket_code, moment(-1), "1"))[0][1] == "checked-in"
    assert other.results((ticket.ticket_code, moment(-1), "1"))[0][1] == "already-checked-in"
    assert door.log()["total"] == 2


def test_one_name_for_two_tickets_is_refused_and_nothing_is_written(
    door: Door, event: Event, ticket: Registration, make: Factory
) -> None:
    other = make.registration(event)
    at = moment(-1)
    in_one_batch = door.send((UNKNOWN, at, "b"), (ticket.ticket_code, at, "a"), (other.ticket_code, at, "a"))
    assert door.log()["total"] == 0
    door.send((ticket.ticket_code, at, "a"))
    in_a_later_one = door.send((UNKNOWN, at, "b"), (other.ticket_code, at, "a"))
    for response, pointer in ((in_one_batch, "/scans/2/client_id"), (in_a_later_one, "/scans/1/client_id")):
        assert response.status_code == 422
        assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]
    assert door.log()["total"] == 1
    assert checked_in_at(make, other) is None


def test_a_clock_that_is_wrong_gives_the_nearest_possible_time(
    door: Door, event: Event, make: Factory
) -> None:
    """A time still to come counts as now, one before the ticket was made as that moment."""
    fast, slow = (make.registration(event, created_at=moment(-24)) for _ in range(2))
    began = datetime.now(UTC)
    results = door.results((fast.ticket_code, moment(1_000), "a"), (slow.ticket_code, moment(-1_000), "b"))
    assert [verdict for _, verdict, _ in results] == ["checked-in", "checked-in"]
    assert results[1][2] == slow.created_at
    # The test's transaction, whose time the database tells, began before this test took its own.
    assert results[0][2] is not None
    assert began - HOUR < results[0][2] <= datetime.now(UTC)
    assert when(door.scan(fast.ticket_code, moment(9)).json()["checked_in_at"]) == results[0][2]


def test_a_batch_costs_the_same_statements_for_one_and_for_a_thousand(
    door: Door, event: Event, make: Factory, statements: list[str]
) -> None:
    make.db.execute(text("UPDATE events SET capacity_total = 2000 WHERE id = :id"), {"id": event.id})
    make.db.execute(
        text("""
            WITH holders AS (
                INSERT INTO users (email, password_hash)
                SELECT 'holder' || number || '@example.com', '' FROM generate_series(1, 1011) AS number
                RETURNING id
            )
            INSERT INTO registrations (event_id, user_id, status, ticket_code)
            SELECT :id, id, 'CONFIRMED', 'ticket-' || row_number() OVER () FROM holders
        """),
        {"id": event.id},
    )
    make.db.commit()
    counts, first = [], 1
    for size in (1, 10, 1_000):
        batch = [(f"ticket-{number}", moment(0), str(number)) for number in range(first, first + size)]
        statements.clear()
        assert {verdict for _, verdict, _ in door.results(*batch)} == {"checked-in"}
        counts.append(len(statements))
        first += size
    assert counts == [8, 8, 8]


def test_the_log_costs_the_same_queries_for_one_and_for_three(
    door: Door, event: Event, make: Factory, statements: list[str]
) -> None:
    counts = []
    for size in (1, 3):
        for _ in range(size):
            door.scan(make.registration(event).ticket_code)
        statements.clear()
        door.log()
        counts.append(len(statements))
    assert counts == [5, 5]


@pytest.mark.parametrize("path", ["", "/batch"])
def test_only_those_who_run_the_event_check_in(
    anonymous: Caller, signed_in: Callable[..., Caller], event: Event, make: Factory, path: str
) -> None:
    ticket = make.registration(event, holder := make.user())
    address = f"/events/{event.id}/check-ins{path}"
    scan = {"ticket_code": ticket.ticket_code}
    sent = {"scans": [{**scan, "scanned_at": moment(0).isoformat(), "client_id": "a"}]} if path else scan
    assert anonymous.post(address, json=sent).status_code == 401
    assert [signed_in(user).post(address, json=sent).status_code for user in (make.user(), holder)] == [
        403,
        403,
    ]
    assert checked_in_at(make, ticket) is None
    owner = make.db.get_one(User, event.created_by)
    assert signed_in(owner).post(address, json=sent).status_code == (200 if path else 201)
    assert signed_in(make.admin()).post(address, json=sent).status_code == 200


def test_the_log_is_for_those_who_run_the_event(
    anonymous: Caller, signed_in: Callable[..., Caller], door: Door, ticket: Registration, make: Factory
) -> None:
    door.scan(ticket.ticket_code)
    assert anonymous.get(door.path).status_code == 401
    assert signed_in(make.user()).get(door.path).status_code == 403
    draft = make.event(status="DRAFT")
    stranger = signed_in(make.user())
    assert stranger.get(f"/events/{draft.id}/check-ins").json()["type"] == "/problems/not-found"
    assert stranger.post(f"/events/{draft.id}/check-ins", json={"ticket_code": "x"}).status_code == 404


@pytest.mark.parametrize("path", ["", "/batch"])
def test_there_is_no_door_without_an_event(door: Door, path: str) -> None:
    scan = {"ticket_code": "x"}
    sent = {"scans": [{**scan, "scanned_at": "2027-01-01T00:00:00Z", "client_id": "a"}]} if path else scan
    response = door.caller.post(f"/events/2147483647/check-ins{path}", json=sent)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")


SCAN: dict[str, object] = {"ticket_code": "x", "scanned_at": "2027-01-01T00:00:00Z", "client_id": "a"}


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("", {}, "/ticket_code"),
        ("", {"ticket_code": " "}, "/ticket_code"),
        ("", {"ticket_code": "x" * 1_001}, "/ticket_code"),
        ("", {"ticket_code": "a\0b"}, "/ticket_code"),
        ("", {"ticket_code": "x", "scanned_at": "2027-01-01T00:00:00"}, "/scanned_at"),
        ("", {"ticket_code": "x", "client_id": "a"}, "/client_id"),
        ("/batch", {"scans": []}, "/scans"),
        ("/batch", {"scans": [SCAN] * 1_001}, "/scans"),
        ("/batch", {"scans": [SCAN, {**SCAN, "client_id": ""}]}, "/scans/1/client_id"),
        ("/batch", {"scans": [SCAN, {**SCAN, "client_id": "a\0b"}]}, "/scans/1/client_id"),
        ("/batch", {"scans": [{"ticket_code": "x", "client_id": "a"}]}, "/scans/0/scanned_at"),
    ],
)
def test_a_malformed_scan_is_422_and_names_its_field(
    door: Door, path: str, body: dict[str, Any], pointer: str
) -> None:
    response = door.caller.post(door.path + path, json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def test_openapi_declares_both_answers_and_every_refusal(anonymous: Caller) -> None:
    paths = anonymous.get("/openapi.json").json()["paths"]
    answers = paths["/api/v1/events/{event_id}/check-ins"]["post"]["responses"]
    for status in ("200", "201"):
        schema = answers[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/CheckInRead"}
    declared = {
        status: set(answers[status]["content"]["application/problem+json"]["examples"])
        for status in ("404", "409")
    }
    assert declared == {
        "404": {"not-found", "unknown-ticket"},
        "409": {"request-in-progress", "ticket-cancelled", "ticket-not-confirmed"},
    }


INSERT = text("""
    INSERT INTO scans
        (event_id, registration_id, ticket_code, verdict, scanned_at, checked_in_at, client_id, scanned_by)
    VALUES (:event_id, :registration_id, 'x', :verdict, :scanned_at, :checked_in_at, :client_id, :scanned_by)
""")


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"verdict": "let-in"}, "ck_scans_verdict_is_known"),
        ({"verdict": "unknown-ticket"}, "ck_scans_known_ticket_has_a_registration"),
        ({"verdict": "ticket-cancelled"}, "ck_scans_verdict_says_who_is_in"),
        ({"checked_in_at": None}, "ck_scans_verdict_says_who_is_in"),
        ({"checked_in_at": moment(1)}, "ck_scans_earliest_scan_is_the_check_in"),
        ({"client_id": "another"}, "uq_scans_check_in"),
        ({"verdict": "already-checked-in"}, "uq_scans_event_id_scanned_by_client_id"),
    ],
)
def test_the_database_holds_the_rules_whatever_writes(
    ticket: Registration, staff: User, make: Factory, changes: dict[str, Any], constraint: str
) -> None:
    scan = {
        "event_id": ticket.event_id,
        "registration_id": ticket.id,
        "verdict": "checked-in",
        "scanned_at": moment(0),
        "checked_in_at": moment(0),
        "client_id": "a",
        "scanned_by": staff.id,
    }
    make.db.execute(INSERT, {**scan, "checked_in_at": scan["scanned_at"]})
    make.db.commit()
    with pytest.raises(IntegrityError, match=constraint):
        make.db.execute(INSERT, {**scan, "checked_in_at": scan["scanned_at"], **changes})
    make.db.rollback()
