"""Check-ins: tickets judged at the door, and every scan kept, refused ones too."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app import crud
from app.core.database import Database
from app.core.exceptions import (
    InvalidRequest,
    NotFound,
    Problem,
    TicketCancelled,
    TicketNotConfirmed,
    UnknownTicket,
)
from app.core.pagination import Slice
from app.crud.check_ins import Ticket
from app.models import Scan, User
from app.models.enums import RegistrationStatus, Verdict
from app.policies import ensure_can_staff_event
from app.schemas.check_ins import (
    CheckInBatch,
    CheckInBatchRead,
    CheckInCreate,
    CheckInRead,
    ScanQuery,
    ScanResult,
)
from app.schemas.users import UserBrief

REFUSALS: Mapping[Verdict, type[Problem]] = {
    Verdict.UNKNOWN_TICKET: UnknownTicket,
    Verdict.TICKET_CANCELLED: TicketCancelled,
    Verdict.TICKET_NOT_CONFIRMED: TicketNotConfirmed,
}


def check_in(db: Database, actor: User, event_id: int, command: CheckInCreate) -> CheckInRead | Problem:
    """Judge one ticket at the door and keep the scan.

    Returns the refusal of a bad ticket, one of ``UnknownTicket``, ``TicketCancelled`` and
    ``TicketNotConfirmed``, instead of raising it, because what raises undoes its transaction and the
    organiser wants to see the refused scans as well.
    """
    door = _open_door(db, actor, event_id, {command.ticket_code})
    scan = door.judge(command.ticket_code, command.scanned_at)
    door.keep(db, [scan])
    ticket = door.tickets.get(scan.ticket_code)
    if ticket is None or scan.verdict in REFUSALS:
        return REFUSALS[scan.verdict]()
    return CheckInRead(
        registration_id=ticket.registration_id,
        user=UserBrief.model_validate(crud.get(db, User, ticket.user_id)),
        ticket_code=scan.ticket_code,
        checked_in_at=scan.checked_in_at,
        first=scan.verdict is Verdict.CHECKED_IN,
    )


def check_in_all(db: Database, actor: User, event_id: int, command: CheckInBatch) -> CheckInBatchRead:
    """Judge scans one after the other, in the order given and in a number of statements that is constant.

    A scan that was sent before under its name is answered as it was then, and nothing is written for it.

    Raises:
        InvalidRequest: one name stands for the scans of two tickets, here or since an earlier batch.

    """
    door = _open_door(db, actor, event_id, {sent.ticket_code for sent in command.scans})
    names = {sent.client_id for sent in command.scans}
    known = crud.check_ins.map_scans(db, event_id, actor.id, names)
    fresh = []
    for place, sent in enumerate(command.scans):
        if sent.client_id not in known:
            known[sent.client_id] = door.judge(sent.ticket_code, sent.scanned_at, sent.client_id)
            fresh.append(known[sent.client_id])
        elif known[sent.client_id].ticket_code != sent.ticket_code:
            # Answered as the other scan, it would be lost without anybody noticing.
            detail = "this names the scan of another ticket; give every scan a name of its own"
            raise InvalidRequest.at(f"scans/{place}/client_id", detail)
    door.keep(db, fresh)
    return CheckInBatchRead(
        results=[ScanResult.model_validate(known[sent.client_id]) for sent in command.scans]
    )


def list_scans(db: Database, actor: User, event_id: int, wanted: ScanQuery) -> Slice[Scan]:
    """Return one page of an event's scans, to those who run it."""
    ensure_can_staff_event(db, actor, crud.events.get(db, event_id))
    return crud.check_ins.page_of_event(db, event_id, wanted.paging, verdict=wanted.verdict)


def _open_door(db: Database, actor: User, event_id: int, codes: Collection[str]) -> "_Door":
    """Hold the event for this transaction, to those who run it, with the tickets of these codes.

    Everybody who changes an event's registrations takes the event's row first, and the trigger that counts
    them takes it in any case. So it is the one lock here: two scanners with one ticket follow each other,
    the same batch sent twice at once does too, and nobody waits in a circle.
    """
    found = crud.events.lock_for_admission(db, event_id)
    if found is None:
        raise NotFound("There is no such event. Check the id.")
    event, now = found
    ensure_can_staff_event(db, actor, event)
    return _Door(event_id, actor.id, now, crud.check_ins.map_tickets(db, event_id, codes))


@dataclass
class _Door:
    """What is known at the door while scans are judged; it changes as people come in."""

    event_id: int
    scanner_id: int
    now: datetime
    tickets: Mapping[str, Ticket]
    moved: dict[int, datetime] = field(default_factory=dict)

    def judge(self, ticket_code: str, scanned_at: datetime | None, client_id: str | None = None) -> Scan:
        """Decide on one scan, knowing what was decided before it."""
        ticket = self.tickets.get(ticket_code)
        at = min(scanned_at or self.now, self.now)
        checked_in_at = None
        if ticket is None:
            verdict = Verdict.UNKNOWN_TICKET
        elif ticket.status is RegistrationStatus.CANCELLED:
            verdict = Verdict.TICKET_CANCELLED
        elif ticket.status is RegistrationStatus.WAITLISTED:
            verdict = Verdict.TICKET_NOT_CONFIRMED
        else:
            verdict = Verdict.ALREADY_CHECKED_IN if ticket.checked_in_at else Verdict.CHECKED_IN
            at = max(at, ticket.created_at)
            checked_in_at = self._check_in(ticket, at)
        return Scan(
            event_id=self.event_id,
            registration_id=ticket.registration_id if ticket else None,
            ticket_code=ticket_code,
            verdict=verdict,
            scanned_at=at,
            checked_in_at=checked_in_at,
            client_id=client_id,
            scanned_by=self.scanner_id,
        )

    def _check_in(self, ticket: Ticket, at: datetime) -> datetime:
        """Let the earliest scan be the check-in, even if it arrives late."""
        if ticket.checked_in_at is None or at < ticket.checked_in_at:
            ticket.checked_in_at = self.moved[ticket.registration_id] = at
        return ticket.checked_in_at

    def keep(self, db: Database, scans: list[Scan]) -> None:
        """Write the scans and what they changed."""
        crud.check_ins.move_check_ins(db, self.moved)
        crud.check_ins.add_all(db, scans)
