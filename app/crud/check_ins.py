"""Questions about scans at the door."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, DateTime, Integer, String, cast, func, select, update
from sqlalchemy.orm import joinedload

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.records import Order, page
from app.models import Registration, Scan
from app.models.enums import RegistrationStatus, Verdict


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
    query = select(
        Registration.ticket_code,
        Registration.id,
        Registration.user_id,
        Registration.status,
        Registration.created_at,
        Registration.checked_in_at,
    ).where(
        Registration.event_id == event_id,
        Registration.ticket_code == func.any(cast(list(codes), ARRAY(String))),
    )
    tickets = (Ticket(*facts) for facts in db.execute(query))
    return {ticket.code: ticket for ticket in tickets}


def map_scans(db: Database, event_id: int, user_id: int, client_ids: Collection[str]) -> dict[str, Scan]:
    """Return the scans that someone has sent for an event under these names."""
    query = select(Scan).where(
        Scan.event_id == event_id,
        Scan.scanned_by == user_id,
        Scan.client_id == func.any(cast(list(client_ids), ARRAY(String))),
    )
    return {scan.client_id: scan for scan in db.scalars(query) if scan.client_id is not None}


def move_check_ins(db: Database, times: Mapping[int, datetime]) -> None:
    """Set when each registration, by its id, was checked in."""
    if not times:
        return
    moved = (
        func.unnest(
            cast(list(times), ARRAY(Integer)), cast(list(times.values()), ARRAY(DateTime(timezone=True)))
        )
        .table_valued("id", "checked_in_at")
        .render_derived()
    )
    db.execute(
        update(Registration).where(Registration.id == moved.c.id).values(checked_in_at=moved.c.checked_in_at),
        execution_options={"synchronize_session": False},
    )


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
