"""The service with admission answering from memory: how fast it could be if the database cost nothing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

from fastapi import FastAPI

from app.api import create_app
from app.core import heap
from app.core.coalescing import GroupCommit
from app.models.enums import RegistrationStatus
from app.models.registration import new_ticket_code
from app.schemas.registrations import Application, RegistrationMade

app = create_app()
_serve = app.router.lifespan_context
_ids = count(1)


def _admit(applications: Sequence[Application]) -> list[RegistrationMade]:
    """Give everybody a place."""
    now = datetime.now(UTC)
    return [
        RegistrationMade(
            id=next(_ids),
            event_id=application.wanted_id,
            user_id=application.claims.uid,
            status=RegistrationStatus.CONFIRMED,
            waitlist_position=None,
            ticket_code=new_ticket_code(),
            created_at=now,
            checked_in_at=None,
            overlaps=[],
        )
        for application in applications
    ]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with _serve(app):
        admissions = app.state.admissions
        async with GroupCommit(_admit, queue=app.state.settings.db_queue_size) as app.state.admissions:
            yield
        app.state.admissions = admissions


app.router.lifespan_context = _lifespan
heap.settle()
