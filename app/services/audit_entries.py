"""The log of changes, read by those who answer for what it tells of."""

from app import crud
from app.core.database import Database
from app.core.pagination import Slice
from app.models import AuditEntry, Event, User
from app.policies import ensure_can_audit_event, ensure_is_admin
from app.schemas.audit_entries import AuditQuery, WholeAuditQuery


def list_for_event(db: Database, actor: User, event_id: int, wanted: AuditQuery) -> Slice[AuditEntry]:
    """Return one page of the changes to an event, to its owner and managers; once deleted, to its owner."""
    ensure_can_audit_event(db, actor, crud.get(db, Event, event_id))
    return crud.audit_entries.page_of_event(db, event_id, wanted)


def list_all(db: Database, actor: User, wanted: WholeAuditQuery) -> Slice[AuditEntry]:
    """Return one page of all changes, to administrators."""
    ensure_is_admin(actor)
    return crud.audit_entries.page_all(db, wanted)
