"""Questions about the log of changes, which triggers write."""

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import joinedload

from app.core.database import Database
from app.core.pagination import Slice
from app.crud.records import Order, page, set_for_transaction
from app.models import AuditEntry
from app.schemas.audit_entries import AuditQuery, WholeAuditQuery

NEWEST_FIRST = Order((AuditEntry.at, AuditEntry.id), descending=True)


def sign(db: Database, actor_id: int, ip: str | None, request_id: str) -> None:
    """Name who writes, from where and in which request, in the entries of this transaction."""
    said = {"actor_id": str(actor_id), "ip": ip or "", "request_id": request_id}
    # For this transaction only: the next one on the connection is somebody else's.
    set_for_transaction(db, {f"mis_eventos.{name}": value for name, value in said.items()})


def page_of_event(db: Database, event_id: int, wanted: AuditQuery) -> Slice[AuditEntry]:
    """Return one page of the changes to an event and what belongs to it, with who made them, newest first."""
    return _page(db, select(AuditEntry).where(AuditEntry.event_id == event_id), wanted, _conditions(wanted))


def page_all(db: Database, wanted: WholeAuditQuery) -> Slice[AuditEntry]:
    """Return one page of all changes, with who made them, newest first."""
    conditions = _conditions(wanted)
    if wanted.event_id is not None:
        conditions.append(AuditEntry.event_id == wanted.event_id)
    return _page(db, select(AuditEntry), wanted, conditions)


def _conditions(wanted: AuditQuery) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.action is not None:
        conditions.append(AuditEntry.action == wanted.action)
    if wanted.entity is not None:
        conditions.append(AuditEntry.entity == wanted.entity)
    if wanted.entity_id is not None:
        conditions.append(AuditEntry.entity_id == wanted.entity_id)
    if wanted.actor_id is not None:
        conditions.append(AuditEntry.actor_id == wanted.actor_id)
    if wanted.since is not None:
        conditions.append(AuditEntry.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(AuditEntry.at < wanted.until)
    return conditions


def _page(
    db: Database, query: Select[AuditEntry], wanted: AuditQuery, conditions: list[ColumnElement[bool]]
) -> Slice[AuditEntry]:
    found = query.where(*conditions).options(joinedload(AuditEntry.actor))
    return page(db, found, wanted.paging, by=NEWEST_FIRST, filtered=bool(conditions))
