"""Check-ins: tickets scanned at the door."""

from typing import Annotated

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import (
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    RequestInProgress,
    TicketCancelled,
    TicketNotConfirmed,
    Unauthorized,
    UnknownTicket,
)
from app.core.pagination import Slice
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.check_ins import AtTheDoor, DoorRoute
from app.dependencies.database import Db
from app.dependencies.idempotency import ServedOnce
from app.dependencies.pages import paged
from app.dependencies.paths import EventId
from app.models import Scan
from app.schemas.check_ins import (
    CheckInBatch,
    CheckInBatchRead,
    CheckInCreate,
    CheckInRead,
    ScanQuery,
    ScanRead,
)
from app.schemas.pages import Page

router = APIRouter(route_class=DoorRoute, prefix="/events/{event_id}/check-ins", tags=["Registrations"])


@router.post(
    "",
    summary="Check a ticket in",
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses={
        200: {"model": CheckInRead, "description": "The ticket was checked in before."},
        **problems(
            IdempotencyKeyReused,
            RequestInProgress,
            Unauthorized,
            Forbidden,
            NotFound,
            UnknownTicket,
            TicketCancelled,
            TicketNotConfirmed,
        ),
    },
)
def check_in(
    event_id: EventId, command: CheckInCreate, actor: CurrentUser, db: Db, answer: AtTheDoor
) -> CheckInRead:
    """Let somebody in: 201 the first time, 200 with `first` false after that.

    Every scan is kept for `GET /events/{event_id}/check-ins`, refused ones too.
    """
    return answer(services.check_ins.check_in(db, actor, event_id, command))


@router.get(
    "",
    summary="Scans at the door",
    response_model=Page[ScanRead],
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def list_scans(
    event_id: EventId, wanted: Annotated[ScanQuery, paged(ScanQuery)], actor: CurrentUser, db: Db
) -> Slice[Scan]:
    """List every scan, the newest to arrive first, with what came of it, to those who run the event."""
    return services.check_ins.list_scans(db, actor, event_id, wanted)


@router.post(
    "/batch",
    summary="Check collected tickets in",
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def check_in_all(event_id: EventId, command: CheckInBatch, actor: CurrentUser, db: Db) -> CheckInBatchRead:
    """Send what a device has scanned without a network, up to 1,000 scans, judged in their order.

    `client_id` names a scan, so the same batch may be sent until it is answered: the answer is the same and
    no scan is kept twice. The earliest scan of a ticket is its check-in, even if it arrives late; its
    `verdict` says what it was on arrival.
    """
    return services.check_ins.check_in_all(db, actor, event_id, command)
