"""Many scanners at one door: one check-in for each ticket, and nobody waits in a circle."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event as listen
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from app import services
from app.core.database import Store
from app.core.exceptions import AlreadyCheckedIn, Problem
from app.models import Event, Registration, Scan, User
from app.models.enums import RegistrationStatus, Verdict
from app.schemas.check_ins import (
    CheckInBatch,
    CheckInBatchRead,
    CheckInCreate,
    CheckInRead,
    CollectedScan,
)
from app.tests.factories import Factory

SCANNERS = 12
ROUNDS = 20


class Doors:
    """An event with tickets, and the connections through which they are scanned."""

    def __init__(self, live: Store, scanners: Store, tickets: int) -> None:
        self.live, self.scanners = live, scanners
        with live.job() as db:
            make = Factory(db)
            self.staff: User = make.user()
            self.event: Event = make.event(self.staff)
            self.holders = [make.user() for _ in range(tickets)]
            self.codes = [make.registration(self.event, holder).ticket_code for holder in self.holders]

    def scan(self, code: str) -> CheckInRead | Problem:
        with self.scanners.job() as db:
            command = CheckInCreate(ticket_code=code)
            return services.check_ins.check_in(db, self.staff, self.event.id, command)

    def is_first(self, code: str) -> bool:
        """Scan a ticket and tell whether it was the first time."""
        decided = self.scan(code)
        assert isinstance(decided, CheckInRead)
        return decided.first

    def lets_in(self, code: str) -> bool:
        """Scan a ticket and tell whether its holder is in."""
        return isinstance(self.scan(code), CheckInRead)

    def send(self, batch: CheckInBatch) -> CheckInBatchRead:
        with self.scanners.job() as db:
            return services.check_ins.check_in_all(db, self.staff, self.event.id, batch)

    def cancel(self, holder: User) -> bool:
        """Cancel someone's registration, unless they are in."""
        try:
            with self.live.job() as db:
                services.registrations.cancel(db, holder, self.event.id)
        except AlreadyCheckedIn:
            return False
        return True

    def log(self) -> Counter[tuple[str, Verdict]]:
        """Count the scans by ticket and verdict."""
        with self.live.job() as db:
            query = select(Scan).where(Scan.event_id == self.event.id)
            return Counter((scan.ticket_code, scan.verdict) for scan in db.scalars(query))


@pytest.fixture
def unlocked(live_url: str) -> Iterator[Store]:
    """Yield connections on which no statement locks a row: the protection switched off."""
    store = Store(live_url, pool_size=SCANNERS, queue_size=1)

    def without_locks(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return re.sub(r" FOR NO KEY UPDATE( OF \w+)?", "", statement), parameters

    listen.listen(store.engine, "before_cursor_execute", without_locks, retval=True)
    yield store
    store.close()


@contextmanager
def without_index(live: Store) -> Iterator[None]:
    """Take the database's own guard against a second check-in away for a while."""
    (index,) = (index for index in Scan.metadata.tables["scans"].indexes if index.name == "uq_scans_check_in")
    index.drop(live.engine)
    yield
    with live.engine.begin() as connection:
        connection.execute(text("TRUNCATE scans"))
    index.create(live.engine)


def at_once(works: Sequence[Callable[[], object]]) -> list[object]:
    """Start all of ``works`` at one moment; return what each returned, or the exception it raised."""
    ready = Barrier(len(works))

    def start(work: Callable[[], object]) -> object:
        ready.wait(30)
        try:
            return work()
        except (IntegrityError, OperationalError) as error:
            return error

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(start, works))


def scan_by_all(doors: Doors, code: str) -> list[object]:
    return at_once([lambda: doors.is_first(code)] * SCANNERS)


def test_scanners_at_once_make_one_check_in(live: Store) -> None:
    doors = Doors(live, live, tickets=ROUNDS)
    for code in doors.codes:
        assert sorted(map(str, scan_by_all(doors, code))) == ["False"] * (SCANNERS - 1) + ["True"]
    assert doors.log() == Counter(
        {
            **{(code, Verdict.CHECKED_IN): 1 for code in doors.codes},
            **{(code, Verdict.ALREADY_CHECKED_IN): SCANNERS - 1 for code in doors.codes},
        }
    )


def test_control_without_lock_and_index_scanners_let_several_in(live: Store, unlocked: Store) -> None:
    doors = Doors(live, unlocked, tickets=ROUNDS)
    with without_index(live):
        assert any(scan_by_all(doors, code).count(True) > 1 for code in doors.codes)


def test_without_the_lock_the_database_still_refuses_a_second_check_in(live: Store, unlocked: Store) -> None:
    doors = Doors(live, unlocked, tickets=ROUNDS)
    outcomes = [outcome for code in doors.codes for outcome in scan_by_all(doors, code)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, IntegrityError)]
    assert refused
    assert all("uq_scans_check_in" in str(error) for error in refused)
    assert outcomes.count(True) == ROUNDS


def test_one_batch_sent_several_times_at_once_is_kept_once(live: Store) -> None:
    doors = Doors(live, live, tickets=20)
    scans = [
        CollectedScan(ticket_code=code, scanned_at=datetime.now(UTC), client_id=f"{code}-{turn}")
        for turn in range(2)
        for code in [*doors.codes, "nobody-holds-this"]
    ]
    answers = at_once([lambda: doors.send(CheckInBatch(scans=scans))] * SCANNERS)
    assert answers == [answers[0]] * SCANNERS
    assert isinstance(answers[0], CheckInBatchRead)
    assert sum(doors.log().values()) == len(scans)


def test_batches_in_opposite_orders_check_everybody_in_once(live: Store) -> None:
    doors = Doors(live, live, tickets=50)

    def batch(number: int) -> CheckInBatch:
        codes = doors.codes if number % 2 else doors.codes[::-1]
        return CheckInBatch(
            scans=[
                CollectedScan(ticket_code=code, scanned_at=datetime.now(UTC), client_id=f"{number}-{code}")
                for code in codes
            ]
        )

    batches = [batch(number) for number in range(SCANNERS)]
    answers = at_once([partial(doors.send, sent) for sent in batches])
    assert [type(answer) for answer in answers] == [CheckInBatchRead] * SCANNERS
    assert all(doors.log()[code, Verdict.CHECKED_IN] == 1 for code in doors.codes)


def cancel_while_scanning(doors: Doors) -> Iterator[tuple[object, ...]]:
    """Cancel and scan each ticket at once; yield what the one and the other came to."""
    for code, holder in zip(doors.codes, doors.holders, strict=True):
        yield tuple(at_once([partial(doors.cancel, holder), partial(doors.lets_in, code)]))


def test_a_ticket_cancelled_while_it_is_scanned_is_one_or_the_other(live: Store) -> None:
    doors = Doors(live, live, tickets=60)
    assert set(cancel_while_scanning(doors)) <= {(True, False), (False, True)}
    with live.job() as db:
        both = select(Registration).where(
            Registration.status == RegistrationStatus.CANCELLED, Registration.checked_in_at.is_not(None)
        )
        assert db.scalars(both).all() == []


def test_control_without_the_lock_a_cancelled_ticket_is_let_in_or_they_wait_in_a_circle(
    live: Store, unlocked: Store
) -> None:
    doors = Doors(live, unlocked, tickets=60)
    assert any(outcome not in {(True, False), (False, True)} for outcome in cancel_while_scanning(doors))
