"""Schedules against a model of them in plain Python, which compares every session with every other."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from app.core.database import Database
from app.core.exceptions import Problem
from app.models import Event, Session
from app.schemas.events import EditQuery, EventUpdate
from app.schemas.moves import SessionMoves
from app.schemas.sessions import SessionPlan, SessionRescheduled, SessionUpdate
from app.services import events, invariants, moves, sessions
from app.tests.factories import HOUR, Factory
from app.tests.rush import ROUNDS

SLOT = HOUR / 2
SLOTS, LONGEST, FEW = 12, 4, 6
EVENTS, SPEAKERS, PEOPLE = 2, 3, 3
CAPACITIES = {"Small": 1, "Large": 3, "Hall": 2}
PARALLEL = {"Hall"}
WORST_FIRST = ("session-outside-event", "room-too-small", "room-taken", "speaker-busy", "agenda-conflict")

Put = Session | SessionRescheduled

needs_talks = precondition(lambda machine: machine.timetable.talks)
talk_number, event = st.integers(0, 30), st.integers(0, EVENTS - 1)
slot, length = st.integers(-1, SLOTS), st.integers(1, LONGEST)
room = st.sampled_from([None, "Small", "Large", "Hall", "New"])
speakers = st.frozensets(st.integers(0, SPEAKERS - 1), max_size=2)
places = st.sampled_from([None, None, 1, 2])


@dataclass(frozen=True)
class Talk:
    """A session; its times are counted in half hours."""

    event: int
    start: int
    length: int
    room: str | None
    speakers: frozenset[int]
    capacity: int | None = None
    seats: frozenset[int] = field(default_factory=frozenset)

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def places(self) -> int:
        """Count how many people its room has to hold."""
        return len(self.seats) if self.capacity is None else self.capacity

    @property
    def free_seats(self) -> int:
        limits = self.capacity, CAPACITIES.get(self.room or "")
        return min((limit for limit in limits if limit is not None), default=PEOPLE) - len(self.seats)


def faults_between(one: Talk, other: Talk) -> Iterator[str]:
    """Name why two sessions cannot both be."""
    if one.start < other.end and other.start < one.end:
        if one.event == other.event and one.room == other.room not in {None, *PARALLEL}:
            yield "room-taken"
        if one.speakers & other.speakers:
            yield "speaker-busy"
        if one.seats & other.seats:
            yield "agenda-conflict"


talk = st.builds(Talk, event, slot, length, room, speakers, places)


@dataclass
class Timetable:
    """What is planned, and when each event begins; all of them are as long."""

    begins: list[int]
    talks: dict[int, Talk] = field(default_factory=dict)

    def faults(self, changed: Mapping[int, Talk]) -> set[str]:
        """Name all that would be wrong if these sessions were like this."""
        after = {**self.talks, **changed}
        found = set()
        for key, talk in changed.items():
            begins = self.begins[talk.event]
            if talk.start < begins or talk.end > begins + SLOTS:
                found.add("session-outside-event")
            if talk.places > CAPACITIES.get(talk.room or "", talk.places):
                found.add("room-too-small")
            for other_key, other in after.items():
                if other_key != key:
                    found.update(faults_between(talk, other))
        return found

    def nearest(self, key: int, talk: Talk, rooms: Iterable[str]) -> int | None:
        """Tell how far from when it was wanted the session would have to be, if it can be at all."""
        begins = self.begins[talk.event]
        starts = range(begins, begins + SLOTS)
        elsewhere = {talk.room, *rooms} if talk.room else {None}
        possible = (
            abs(start - talk.start)
            for start, place in product(starts, elsewhere)
            if not self.faults({key: replace(talk, start=start, room=place)})
        )
        return min(possible, default=None)


class Schedule(RuleBasedStateMachine):
    """Ask the service and the model for the same, and compare what is said and what is there."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self.undo = self.connection.begin_nested()
        self.timetable = Timetable([0] * EVENTS)
        with self._unit() as db:
            make = Factory(db)
            self.owner = make.user()
            self.events = [self._event(make) for _ in range(EVENTS)]
            self.origin = self.events[0].start_at
            self.speakers = [make.speaker(self.owner).id for _ in range(SPEAKERS)]
            self.people = [make.registered(*self.events) for _ in range(PEOPLE)]
            db.expunge_all()

    def _event(self, make: Factory) -> Event:
        event = make.event(self.owner)
        make.db.refresh(event)
        event.end_at = event.start_at + SLOTS * SLOT
        make.db.commit()
        for name, capacity in CAPACITIES.items():
            make.room(event, name=name, capacity=capacity, allow_parallel=name in PARALLEL)
        make.db.refresh(event)
        return event

    def teardown(self) -> None:
        with self._unit() as db:
            assert invariants.check(db) == []
        self.undo.rollback()

    @initialize(wanted=st.lists(talk, min_size=FEW, max_size=FEW))
    def plan_some(self, wanted: list[Talk]) -> None:
        for one in wanted:
            self.plan(one)
        for which in range(len(self.timetable.talks)):
            self.take_seats(which)

    @rule(wanted=talk)
    def plan(self, wanted: Talk) -> None:
        talk = self._within(wanted)
        scheduling = partial(sessions.schedule, actor=self.owner, event_id=self.events[talk.event].id)
        self._judge(-1, talk, lambda there: partial(scheduling, plan=SessionPlan(**self._words(there))))

    @needs_talks
    @rule(which=talk_number, wanted=talk)
    def reschedule(self, which: int, wanted: Talk) -> None:
        key, talk = self._pick(which)
        moved = self._within(replace(wanted, event=talk.event, capacity=talk.capacity, seats=talk.seats))
        editing = partial(sessions.reschedule, actor=self.owner, session_id=key)
        self._judge(key, moved, lambda there: partial(editing, command=SessionUpdate(**self._words(there))))

    @needs_talks
    @rule(wanted=st.lists(st.tuples(talk_number, slot, room), min_size=1, max_size=4))
    def move(self, wanted: list[tuple[int, int, str | None]]) -> None:
        picked = [(*self._pick(which), start, room) for which, start, room in wanted]
        self._move(
            {key: self._within(replace(talk, start=start, room=room)) for key, talk, start, room in picked}
        )

    @needs_talks
    @rule(which=st.lists(talk_number, min_size=2, max_size=5))
    def go_round(self, which: list[int]) -> None:
        """Let each take the place of the next."""
        talks = dict(map(self._pick, which))
        first, *others = talks.values()
        places = zip(talks.items(), [*others, first], strict=True)
        self._move(
            {
                key: replace(talk, start=place.start, length=place.length, room=place.room)
                for (key, talk), place in places
            }
        )

    @rule(event=event, by=st.integers(-6, 6))
    def shift(self, event: int, by: int) -> None:
        begins = self.timetable.begins[event] + by
        planned = {
            key: replace(talk, start=talk.start + by)
            for key, talk in self.timetable.talks.items()
            if talk.event == event
        }
        after = Timetable(
            [begins if event == place else at for place, at in enumerate(self.timetable.begins)]
        )
        after.talks = dict(self.timetable.talks)
        expected = after.faults(planned)
        outcome = self._outcome(
            partial(
                events.edit,
                actor=self.owner,
                event_id=self.events[event].id,
                command=EventUpdate(start_at=self._time(begins)),
                wanted=EditQuery(shift_sessions=True),
            )
        )
        if expected:
            assert isinstance(outcome, Problem)
            assert outcome.slug() == min(expected, key=WORST_FIRST.index)
        else:
            assert not isinstance(outcome, Problem)
            after.talks.update(planned)
            self.timetable = after

    @needs_talks
    @rule(which=talk_number)
    def take_seats(self, which: int) -> None:
        """Give a seat to all who may have one."""
        key, talk = self._pick(which)
        for person in range(PEOPLE):
            seated = replace(talk, seats=talk.seats | {person})
            if seated != talk and talk.free_seats > 0 and not self.timetable.faults({key: seated}):
                with self._unit() as db:
                    Factory(db).seat(db.get_one(Session, key), self.people[person])
                self.timetable.talks[key] = talk = seated

    @precondition(lambda machine: len(machine.timetable.talks) > FEW)
    @rule(which=talk_number)
    def cancel(self, which: int) -> None:
        key, _ = self._pick(which)
        assert self._outcome(partial(sessions.cancel, actor=self.owner, session_id=key)) is None
        del self.timetable.talks[key]

    @invariant()
    def what_is_planned_is_what_the_model_says_and_nothing_in_it_clashes(self) -> None:
        with self._unit() as db:
            shown = {
                session.id: (event.id, session.start_at, session.end_at, session.room)
                for event in self.events
                for session in sessions.list_for_event(db, self.owner, event.id)
            }
        assert shown == {
            key: (self.events[talk.event].id, self._time(talk.start), self._time(talk.end), talk.room)
            for key, talk in self.timetable.talks.items()
        }
        assert self.timetable.faults(self.timetable.talks) == set()

    def _judge(self, key: int, talk: Talk, put: Callable[[Talk], Callable[[Database], Put]]) -> None:
        """Put a session where it is wanted, and see that the answer is the model's."""
        expected = self.timetable.faults({key: talk})
        outcome = self._outcome(put(talk))
        if not isinstance(outcome, Problem):
            assert expected == set()
            self.timetable.talks[outcome.id] = talk
            return
        assert outcome.slug() in expected
        if "suggestions" in outcome.members:
            self._try_all(key, talk, outcome.members["suggestions"], put)

    def _try_all(
        self,
        key: int,
        talk: Talk,
        suggestions: list[dict[str, Any]],
        put: Callable[[Talk], Callable[[Database], Put]],
    ) -> None:
        """See that each suggestion is accepted, the nearest first, and that none nearer is missed."""
        far = []
        for suggestion in suggestions:
            start, end = (self._slot(suggestion[name]) for name in ("start_at", "end_at"))
            there = replace(talk, start=start, length=end - start, room=suggestion["room"])
            assert self.timetable.faults({key: there}) == set()
            before = self.connection.begin_nested()
            assert not isinstance(self._outcome(put(there)), Problem)
            before.rollback()
            far.append(abs(start - talk.start))
        assert far == sorted(far)
        rooms = {*CAPACITIES, *(one.room for one in self.timetable.talks.values() if one.event == talk.event)}
        nearest = self.timetable.nearest(key, talk, (room for room in rooms if room))
        assert nearest == (far[0] if far else None)

    def _move(self, wanted: Mapping[int, Talk]) -> None:
        """Move those that are in the same event as the first."""
        (event, *_) = (talk.event for talk in wanted.values())
        planned = {key: talk for key, talk in wanted.items() if talk.event == event}
        expected = self.timetable.faults(planned)
        for dry_run in (True, False):
            assert self._kinds_of_conflict(planned, dry_run=dry_run) == expected
        if not expected:
            self.timetable.talks.update(planned)

    def _kinds_of_conflict(self, planned: Mapping[int, Talk], *, dry_run: bool) -> set[str]:
        wanted = [
            {
                "session_id": key,
                "start_at": self._time(talk.start),
                "end_at": self._time(talk.end),
                "room": talk.room,
            }
            for key, talk in planned.items()
        ]
        (event_id, *_) = (self.events[talk.event].id for talk in planned.values())
        plan = SessionMoves.model_validate({"event_id": event_id, "moves": wanted})
        outcome = self._outcome(partial(moves.move, actor=self.owner, plan=plan, dry_run=dry_run))
        if isinstance(outcome, Problem):
            assert (outcome.slug(), dry_run) == ("schedule-conflict", False)
            return {conflict["kind"] for conflict in outcome.members["conflicts"]}
        return {conflict.kind for conflict in outcome.conflicts}

    def _pick(self, which: int) -> tuple[int, Talk]:
        keys = sorted(self.timetable.talks)
        key = keys[which % len(keys)]
        return key, self.timetable.talks[key]

    def _within(self, talk: Talk) -> Talk:
        """Count its start from when its event begins."""
        return replace(talk, start=talk.start + self.timetable.begins[talk.event])

    def _words(self, talk: Talk) -> dict[str, Any]:
        return {
            "title": "Talk",
            "start_at": self._time(talk.start),
            "end_at": self._time(talk.end),
            "room": talk.room,
            "capacity_total": talk.capacity,
            "speaker_ids": [self.speakers[speaker] for speaker in talk.speakers],
        }

    def _time(self, slot: int) -> datetime:
        return self.origin + slot * SLOT

    def _slot(self, moment: str) -> int:
        slots, rest = divmod(datetime.fromisoformat(moment) - self.origin, SLOT)
        assert rest == timedelta()
        return slots

    def _unit(self) -> Database:
        return Database(self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False)

    def _outcome(self, act: Callable[[Database], Any]) -> Any:
        """Return what came of ``act``, a refusal too; one that refuses leaves no trace."""
        try:
            with self._unit() as db:
                made = act(db)
                db.commit()
        except Problem as refusal:
            return refusal
        return made


def test_schedules_are_what_comparing_every_session_with_every_other_allows(connection: Connection) -> None:
    run_state_machine_as_test(
        type("Schedule", (Schedule,), {"connection": connection}),
        settings=settings(
            max_examples=9 * ROUNDS,
            stateful_step_count=20,
            derandomize="CI" in os.environ,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
