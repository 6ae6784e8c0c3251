"""Speakers."""

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import (
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    RequestInProgress,
    SpeakerHasSessions,
    Unauthorized,
)
from app.core.problems import problems
from app.dependencies.auth import CurrentUser, Viewer
from app.dependencies.database import Db
from app.dependencies.idempotency import OnceRoute, ServedOnce
from app.dependencies.paths import Location, OfEvent, SpeakerId
from app.models import Speaker
from app.schemas.speakers import SpeakerCreate, SpeakerRead, SpeakerUpdate

router = APIRouter(route_class=OnceRoute, prefix="/speakers", tags=["Speakers"])


@router.get(
    "",
    summary="Line-up of an event",
    response_model=list[SpeakerRead],
    responses=problems(Unauthorized, NotFound),
)
def list_speakers(event_id: OfEvent, viewer: Viewer, db: Db) -> list[Speaker]:
    """List those attached to an event or to one of its sessions, by name."""
    return services.speakers.list_for_event(db, viewer, event_id)


@router.post(
    "",
    summary="Add a speaker",
    response_model=SpeakerRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[ServedOnce],
    responses=problems(IdempotencyKeyReused, RequestInProgress, Unauthorized, Forbidden, NotFound),
)
def create_speaker(command: SpeakerCreate, actor: CurrentUser, db: Db, location: Location) -> Speaker:
    """Make a speaker, to be named in sessions of one's events. `event_id` adds them to its line-up."""
    speaker = services.speakers.create(db, actor, command)
    location("read_speaker", speaker_id=speaker.id)
    return speaker


@router.get(
    "/{speaker_id}",
    summary="One speaker",
    response_model=SpeakerRead,
    responses=problems(Unauthorized, NotFound),
)
def read_speaker(speaker_id: SpeakerId, viewer: Viewer, db: Db) -> Speaker:
    """Show a speaker who is in an event that all may see, or in one that you run, or that you made."""
    return services.speakers.read(db, viewer, speaker_id)


@router.patch(
    "/{speaker_id}",
    summary="Change a speaker",
    response_model=SpeakerRead,
    responses=problems(Unauthorized, Forbidden, NotFound),
)
def edit_speaker(speaker_id: SpeakerId, command: SpeakerUpdate, actor: CurrentUser, db: Db) -> Speaker:
    """Change what the body names, as who made the speaker."""
    return services.speakers.edit(db, actor, speaker_id, command)


@router.delete(
    "/{speaker_id}",
    summary="Delete a speaker",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, Forbidden, NotFound, SpeakerHasSessions),
)
def delete_speaker(speaker_id: SpeakerId, actor: CurrentUser, db: Db) -> None:
    """Delete a speaker who speaks in no session, as who made them."""
    services.speakers.delete(db, actor, speaker_id)
