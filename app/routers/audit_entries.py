"""The log of changes."""

from typing import Annotated

from fastapi import APIRouter

from app import services
from app.core.exceptions import Forbidden, NotFound, Unauthorized
from app.core.pagination import Slice
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.pages import paged
from app.dependencies.paths import EventId
from app.dependencies.straight import StraightRoute
from app.models import AuditEntry
from app.schemas.audit_entries import AuditEntryRead, AuditQuery, WholeAuditQuery
from app.schemas.pages import Page

router = APIRouter(tags=["Audit"], route_class=StraightRoute)


@router.get(
    "/events/{event_id}/audit",
    summary="Changes to an event",
    response_model=Page[AuditEntryRead],
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def list_changes_of_event(
    event_id: EventId, wanted: Annotated[AuditQuery, paged(AuditQuery)], actor: CurrentUser, db: Db
) -> Slice[AuditEntry]:
    """List who changed what of an event, its sessions, speakers, rooms, team and check-ins, newest first.

    For its owner and managers, and for its owner still when it is deleted. A place that is taken or given
    back is no change here: the registrations tell of it.
    """
    return services.audit_entries.list_for_event(db, actor, event_id, wanted)


@router.get(
    "/audit",
    summary="All changes",
    response_model=Page[AuditEntryRead],
    responses=problems(Unauthorized, Forbidden),
)
def list_changes(
    wanted: Annotated[WholeAuditQuery, paged(WholeAuditQuery)], actor: CurrentUser, db: Db
) -> Slice[AuditEntry]:
    """List who changed what, roles included, newest first. For administrators."""
    return services.audit_entries.list_all(db, actor, wanted)
