"""Registration against a model of it in plain Python: whatever is done in whatever order, both agree."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, text

from app.core.database import Database
from app.core.exceptions import (
    AlreadyRegistered,
    CapacityBelowConfirmed,
    EventFull,
    IdempotencyKeyReused,
    NotRegistered,
    Problem,
    WaitlistNotEmpty,
)
from app.models.enums import RegistrationStatus
from app.schemas.events import EventUpdate
from app.schemas.idempotency import RequestKey
from app.schemas.registrations import Application, RegistrationMade
from app.services import events, invariants, registrations
from app.tests.factories import Factory, claims_of
from app.tests.rush import ROUNDS

PEOPLE, EVENTS = 5, 2

person = st.integers(0, PEOPLE - 1)
event = st.integers(0, EVENTS - 1)
# The body of a request that comes under a key, or none for one without a key.
keyed = st.none() | st.sampled_from([b"", b"{}"])
applications = st.lists(st.tuples(person, event, keyed), min_size=1, max_size=8)
Keyed = bytes | None


@dataclass
class Hall:
    """What one event should be: who is in, and who waits, in order."""

    capacity: int = 2
    waitlist: bool = False
    confirmed: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    def register(self, person: int) -> str:
        if person in self.confirmed + self.waiting:
            return AlreadyRegistered.slug()
        if len(self.confirmed) < self.capacity:
            self.confirmed.append(person)
            return "CONFIRMED None"
        if not self.waitlist:
            return EventFull.slug()
        self.waiting.append(person)
        return f"WAITLISTED {len(self.waiting)}"

    def cancel(self, person: int) -> str:
        for places in (self.confirmed, self.waiting):
            if person in places:
                places.remove(person)
                self.promote()
                return "done"
        return NotRegistered.slug()

    def resize(self, capacity: int) -> str:
        if capacity < len(self.confirmed):
            return CapacityBelowConfirmed.slug()
        self.capacity = capacity
        self.promote()
        return "done"

    def offer(self, *, waitlist: bool) -> str:
        if self.waiting and not waitlist:
            return WaitlistNotEmpty.slug()
        self.waitlist = waitlist
        return "done"

    def promote(self) -> None:
        while self.waiting and len(self.confirmed) < self.capacity:
            self.confirmed.append(self.waiting.pop(0))


def said(outcome: RegistrationMade | Problem) -> str:
    if isinstance(outcome, Problem):
        return outcome.slug()
    return f"{outcome.status} {outcome.waitlist_position} {outcome.overlaps}"


class Registration(RuleBasedStateMachine):
    """Do the same to the service and to the model, and compare what is said and what is there."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self.undo = self.connection.begin_nested()
        self.halls = [Hall() for _ in range(EVENTS)]
        self.answered: dict[tuple[int, int], tuple[bytes, str]] = {}
        with self._unit() as db:
            make = Factory(db)
            self.owner = make.user()
            self.people = [make.user() for _ in range(PEOPLE)]
            self.events = [make.event(self.owner, capacity_total=hall.capacity).id for hall in self.halls]

    def teardown(self) -> None:
        self.undo.rollback()

    @rule(batch=applications)
    def register_together(self, batch: list[tuple[int, int, Keyed]]) -> None:
        expected = [self._expected(*one) for one in batch]
        with self._unit() as db:
            outcomes = registrations.admit(db, [self._application(*one) for one in batch])
            db.commit()
        assert [said(outcome) for outcome in outcomes] == expected

    @rule(person=person, event=event)
    def cancel(self, person: int, event: int) -> None:
        expected = self.halls[event].cancel(person)
        cancelling = partial(registrations.cancel, actor=self.people[person], event_id=self.events[event])
        assert self._outcome(cancelling) == expected

    @rule(event=event, capacity=st.integers(1, 4))
    def resize(self, event: int, capacity: int) -> None:
        expected = self.halls[event].resize(capacity)
        assert self._edited(event, EventUpdate(capacity_total=capacity)) == expected

    @rule(event=event, waitlist=st.booleans())
    def offer_a_waitlist(self, event: int, *, waitlist: bool) -> None:
        expected = self.halls[event].offer(waitlist=waitlist)
        assert self._edited(event, EventUpdate(waitlist_enabled=waitlist)) == expected

    @invariant()
    def the_same_people_are_in_and_wait_in_the_same_order(self) -> None:
        rows = self.connection.execute(
            text(
                "SELECT event_id, user_id, status FROM registrations WHERE status <> 'CANCELLED' ORDER BY id"
            )
        ).all()
        for hall, event_id in zip(self.halls, self.events, strict=True):
            confirmed, waiting = (
                [user_id for event, user_id, found in rows if (event, found) == (event_id, status)]
                for status in ("CONFIRMED", "WAITLISTED")
            )
            assert set(confirmed) == {self.people[person].id for person in hall.confirmed}
            assert waiting == [self.people[person].id for person in hall.waiting]

    @invariant()
    def no_rule_is_broken(self) -> None:
        with self._unit() as db:
            assert invariants.check(db) == []

    def _unit(self) -> Database:
        return Database(self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False)

    def _outcome(self, act: Callable[[Database], object]) -> str:
        try:
            with self._unit() as db:
                act(db)
                db.commit()
        except Problem as refusal:
            return refusal.slug()
        return "done"

    def _edited(self, event: int, change: EventUpdate) -> str:
        return self._outcome(
            partial(events.edit, actor=self.owner, event_id=self.events[event], command=change)
        )

    def _application(self, person: int, event: int, keyed: Keyed) -> Application:
        event_id = self.events[event]
        path = f"/api/v1/registrations/events/{event_id}"
        key = None if keyed is None else RequestKey("once", "POST", path, sha256(keyed).digest())
        return Application(claims_of(self.people[person]), event_id, key)

    def _expected(self, person: int, event: int, keyed: Keyed) -> str:
        """Say what the model answers; under a key that was used, what it answered then."""
        body, before = self.answered.get((person, event), (None, ""))
        if keyed is not None and body is not None:
            return before if body == keyed else IdempotencyKeyReused.slug()
        answer = self.halls[event].register(person)
        if not answer.startswith(tuple(RegistrationStatus)):
            return answer
        others = [number for number, hall in enumerate(self.halls) if person in hall.confirmed]
        answer += f" {[self.events[number] for number in others if number != event]}"
        if keyed is not None:
            self.answered[person, event] = keyed, answer
        return answer


def test_registration_does_what_its_model_does(connection: Connection) -> None:
    run_state_machine_as_test(
        type("Registration", (Registration,), {"connection": connection}),
        settings=settings(
            max_examples=15 * ROUNDS,
            stateful_step_count=15,
            derandomize="CI" in os.environ,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
