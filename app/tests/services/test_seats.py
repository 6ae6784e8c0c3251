"""Batches of applications for seats: decided in turn, in as many statements for a hundred as for one."""

from collections.abc import Sequence

import pytest

from app.core.database import Database
from app.core.exceptions import AgendaConflict, Problem
from app.models import Event, Session, User
from app.models.enums import EventStatus
from app.schemas.idempotency import RequestKey
from app.schemas.registrations import Application
from app.schemas.seats import SeatRead
from app.services.seats import take
from app.tests.factories import Factory, claims_of
from app.tests.routers.conftest import at


@pytest.fixture
def event(make: Factory) -> Event:
    return make.event(capacity_total=1_000)


def ask(user: User, session: Session, key: str | None = None, digest: bytes = b"1" * 32) -> Application:
    path = f"/registrations/sessions/{session.id}"
    given = RequestKey(key=key, method="POST", path=path, digest=digest) if key else None
    return Application(claims_of(user), session.id, given)


def said(outcomes: Sequence[SeatRead | Problem]) -> list[str]:
    return [outcome.slug() if isinstance(outcome, Problem) else "seated" for outcome in outcomes]


def test_seats_go_in_the_order_of_arrival_until_none_is_left(
    db: Database, make: Factory, event: Event
) -> None:
    session, open_one = make.session(event, own_capacity=2), make.session(event, **at(event, 1))
    people = [make.registered(event) for _ in range(4)]
    batch = [ask(user, where) for user in people for where in (session, open_one)]
    outcomes = take(db, batch)
    assert said(outcomes[::2]) == ["seated", "seated", "session-full", "session-full"]
    assert said(outcomes[1::2]) == ["seated"] * 4
    assert [(seat.session_id, seat.user_id) for seat in outcomes if isinstance(seat, SeatRead)] == [
        (wish.wanted_id, wish.claims.uid)
        for wish, seat in zip(batch, outcomes, strict=True)
        if isinstance(seat, SeatRead)
    ]


def test_a_seat_that_somebody_may_not_have_goes_to_the_next_in_the_batch(
    db: Database, make: Factory, event: Event
) -> None:
    session = make.session(event, own_capacity=1)
    stranger, guest = make.user(), make.registered(event)
    assert said(take(db, [ask(stranger, session), ask(guest, session)])) == ["not-registered", "seated"]


def test_one_person_twice_in_a_batch_is_decided_as_one_after_the_other(
    db: Database, make: Factory, event: Event
) -> None:
    other = make.event()
    user = make.registered(event, other)
    first = make.session(event, title="First")
    across = make.session(other, **at(other, 0.5))
    after = make.session(other, **at(other, 1.5))
    batch = [ask(user, session) for session in (first, first, across, after)]
    outcomes = take(db, batch)
    assert said(outcomes) == ["seated", "already-registered", "agenda-conflict", "seated"]
    refusal = outcomes[2]
    assert isinstance(refusal, AgendaConflict)
    assert [conflict["title"] for conflict in refusal.members["conflicts"]] == ["First"]


def test_a_conflict_names_what_was_there_and_what_came_in_the_same_batch_and_each_its_own(
    db: Database, make: Factory, event: Event
) -> None:
    ana, luis = make.registered(event), make.registered(event)
    early, late = make.session(event, title="Early"), make.session(event, title="Late", **at(event, 1))
    whole_day = make.session(event, **at(event, 0, hours=8))
    make.seat(early, ana)
    outcomes = take(db, [ask(ana, late), ask(ana, whole_day), ask(luis, late), ask(luis, whole_day)])
    assert said(outcomes) == ["seated", "agenda-conflict"] * 2
    named = [
        [conflict["title"] for conflict in outcome.members["conflicts"]]
        for outcome in outcomes
        if isinstance(outcome, AgendaConflict)
    ]
    assert named == [["Early", "Late"], ["Late"]]


def test_one_key_twice_in_a_batch_takes_one_seat(db: Database, make: Factory, event: Event) -> None:
    session, user = make.session(event), make.registered(event)
    batch = [ask(user, session, "k"), ask(user, session, "k"), ask(user, session, "k", b"2" * 32)]
    first, second, other_body = take(db, [*batch])
    assert first == second
    assert said([first, other_body]) == ["seated", "idempotency-key-reused"]
    assert take(db, batch[:1]) == [first]


def test_a_bad_member_stands_in_nobodys_way(db: Database, make: Factory, event: Event) -> None:
    session, guest = make.session(event), make.registered(event)
    gone = make.registered(event)
    gone.is_active = False
    db.commit()
    draft = make.session(make.event(status=EventStatus.DRAFT))
    unknown = Application(claims_of(guest), 2**31 - 1)
    batch = [ask(gone, session), unknown, ask(guest, draft), ask(guest, session)]
    assert said(take(db, batch)) == ["unauthorized", "not-found", "not-found", "seated"]


def test_a_batch_costs_the_same_statements_for_one_and_for_a_hundred(
    db: Database, make: Factory, statements: list[str]
) -> None:
    counts = []
    for size in (1, 10, 100):
        events = [make.event() for _ in range(min(size, 10))]
        people = [make.registered(*events) for _ in range(size)]
        sessions = [make.session(event) for event in events]
        refusing = [make.session(event, own_capacity=1, **at(event, 0.5)) for event in events]
        placed = [ask(user, sessions[n % len(events)], f"key {n}") for n, user in enumerate(people)]
        clashing = [ask(user, refusing[n % len(events)]) for n, user in enumerate(people)]
        db.commit()
        for batch, outcome in ((placed, "seated"), (clashing, "agenda-conflict")):
            statements.clear()
            assert set(said(take(db, batch))) == {outcome}
            counts.append(len(statements))
            db.commit()
    assert counts == [8, 7] * 3
