"""Speakers."""

from fastapi import APIRouter, Response, status

from app import services
from app.core.exceptions import (
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    PreconditionFailed,
    RequestInProgress,
    SpeakerHasSessions,
    Unauthorized,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.paths import Location, OfEvent, SpeakerId
from app.dependencies.preconditions import IfMatch
from app.dependencies.views import AnyReader, changed, made
from app.schemas.speakers import SpeakerCreate, SpeakerRead, SpeakerUpdate

router = APIRouter(route_class=OnceRoute, prefix="/speakers", tags=["Speakers"])


@router.get(
    "",
    summary="Line-up of an event",
    response_model=list[SpeakerRead],
    responses=problems(Unauthorized, NotFound),
)
async def list_speakers(event_id: OfEvent, reader: AnyReader) -> Response:
    """List those attached to an event or to one of its sessions, by name."""
    return await reader.see(list[SpeakerRead], services.speakers.list_for_event, event_id)


@router.post(
    "",
    summary="Add a speaker",
    response_model=SpeakerRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(IdempotencyKeyReused, RequestInProgress, Unauthorized, Forbidden, NotFound),
)
def create_speaker(command: SpeakerCreate, actor: CurrentUser, db: Db, location: Location) -> Response:
    """Make a speaker, to be named in sessions of one's events. `event_id` adds them to its line-up."""
    speaker = services.speakers.create(db, actor, command)
    return made(SpeakerRead, speaker, location("read_speaker", speaker_id=speaker.id))


@router.get(
    "/{speaker_id}",
    summary="One speaker",
    response_model=SpeakerRead,
    responses=problems(Unauthorized, NotFound),
)
async def read_speaker(speaker_id: SpeakerId, reader: AnyReader) -> Response:
    """Show a speaker who is in an event that all may see, or in one that you run, or that you made."""
    return await reader.see(SpeakerRead, services.speakers.read, speaker_id)


@router.patch(
    "/{speaker_id}",
    summary="Change a speaker",
    response_model=SpeakerRead,
    responses=problems(Unauthorized, Forbidden, NotFound, PreconditionFailed),
)
def edit_speaker(
    speaker_id: SpeakerId, command: SpeakerUpdate, actor: CurrentUser, db: Db, expected: IfMatch
) -> Response:
    """Change what the body names, as who made the speaker."""
    return changed(SpeakerRead, services.speakers.edit(db, actor, speaker_id, command, expected))


@router.delete(
    "/{speaker_id}",
    summary="Delete a speaker",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, Forbidden, NotFound, PreconditionFailed, SpeakerHasSessions),
)
def delete_speaker(speaker_id: SpeakerId, actor: CurrentUser, db: Db, expected: IfMatch) -> None:
    """Delete a speaker who speaks in no session, as who made them."""
    services.speakers.delete(db, actor, speaker_id, expected)
