"""Questions about scans at the door."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, DateTime, Integer, String, bindparam, func, select, update
from sqlalchemy.orm import joinedload

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.admissions import as_table
from app.crud.records import Order, page
from app.models import Base, Registration, Scan
from app.models.enums import RegistrationStatus, Verdict

# The statements of the door are put together once, down to the parameters: at the door every one counts.
_TICKETS = select(
    Registration.ticket_code,
    Registration.id,
    Registration.user_id,
    Registration.status,
    Registration.created_at,
    Registration.checked_in_at,
).where(
    Registration.event_id == bindparam("event_id"),
    Registration.ticket_code == func.any(bindparam("codes", type_=ARRAY(String))),
)

_SCANS = select(Scan).where(
    Scan.event_id == bindparam("event_id"),
    Scan.scanned_by == bindparam("user_id"),
    Scan.client_id == func.any(bindparam("client_ids", type_=ARRAY(String))),
)

_moved = as_table(registration_id=Integer, at=DateTime(timezone=True))
# On the table and not the model: the ORM would copy the statement each time, to keep objects in step.
_registrations = Base.metadata.tables[Registration.__tablename__]
_MOVE = (
    update(_registrations)
    .where(_registrations.c.id == _moved.c.registration_id)
    .values(checked_in_at=_moved.c.at)
)


@dataclass(slots=True)
class Ticket:
    """A registration as it stands at the door, without an object to track."""

    code: str
    registration_id: int
    user_id: int
    status: RegistrationStatus
    created_at: datetime
    checked_in_at: datetime | None


def map_tickets(db: Database, event_id: int, codes: Collection[str]) -> dict[str, Ticket]:
    """Return an event's tickets by their codes; the codes of other events' tickets are not there.

    For whoever holds the event's lock: nobody else changes a registration of the event meanwhile.
    """
    tickets = (Ticket(*facts) for facts in db.execute(_TICKETS, {"event_id": event_id, "codes": list(codes)}))
    return {ticket.code: ticket for ticket in tickets}


def map_scans(db: Database, event_id: int, user_id: int, client_ids: Collection[str]) -> dict[str, Scan]:
    """Return the scans that someone has sent for an event under these names."""
    values = {"event_id": event_id, "user_id": user_id, "client_ids": list(client_ids)}
    return {scan.client_id: scan for scan in db.scalars(_SCANS, values) if scan.client_id is not None}


def move_check_ins(db: Database, times: Mapping[int, datetime]) -> None:
    """Set when each registration, by its id, was checked in."""
    if times:
        db.execute(_MOVE, {"registration_id": list(times), "at": list(times.values())})


def add_all(db: Database, scans: Sequence[Scan]) -> None:
    """Write scans in the order given, which is the order of their ids, in one statement per thousand."""
    db.add_all(scans)
    db.flush()


def page_of_event(db: Database, event_id: int, paging: Paging, *, verdict: Verdict | None) -> Slice[Scan]:
    """Return one page of an event's scans with who was scanned by whom, the newest to arrive first."""
    query = (
        select(Scan)
        .where(Scan.event_id == event_id)
        .options(joinedload(Scan.registration).joinedload(Registration.user), joinedload(Scan.scanner))
    )
    if verdict:
        query = query.where(Scan.verdict == verdict)
    newest_first = Order((Scan.id,), descending=True)
    return page(db, query, paging, by=newest_first, filtered=verdict is not None)
