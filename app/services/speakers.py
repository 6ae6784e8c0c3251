"""Speakers: kept by who made the entry, attached to that person's events."""

from app import crud
from app.conflicts import outlines
from app.core.conditional import WHATEVER, Expected
from app.core.database import Database
from app.core.exceptions import SpeakerHasSessions
from app.core.pagination import Slice
from app.models import Speaker, User
from app.policies import (
    ensure_can_edit_event,
    ensure_can_edit_speaker,
    ensure_can_see_event,
    ensure_can_see_speaker,
)
from app.schemas.speakers import SpeakerCreate, SpeakerQuery, SpeakerUpdate


def list_for_event(db: Database, viewer: User | None, event_id: int) -> list[Speaker]:
    """Return an event's line-up by name."""
    ensure_can_see_event(db, viewer, crud.events.get(db, event_id))
    return crud.speakers.list_for_event(db, event_id)


def list_made_by(db: Database, actor: User, wanted: SpeakerQuery) -> Slice[Speaker]:
    """Return one page of the speakers that ``actor`` keeps."""
    return crud.speakers.page_made_by(db, actor.id, wanted.paging, search=wanted.search)


def read(db: Database, viewer: User | None, speaker_id: int) -> Speaker:
    """Return a speaker."""
    return ensure_can_see_speaker(db, viewer, crud.get(db, Speaker, speaker_id))


def create(db: Database, actor: User, command: SpeakerCreate) -> Speaker:
    """Make a speaker, and attach them to the line-up of an event if one is named."""
    if command.event_id is not None:
        ensure_can_edit_event(db, actor, crud.events.get(db, command.event_id))
    speaker = crud.save(db, Speaker(**command.model_dump(exclude={"event_id"}), created_by=actor.id))
    if command.event_id is not None:
        crud.speakers.attach(db, command.event_id, speaker.id)
    return speaker


def edit(
    db: Database, actor: User, speaker_id: int, command: SpeakerUpdate, expected: Expected = WHATEVER
) -> Speaker:
    """Change a speaker."""
    speaker = ensure_can_edit_speaker(db, actor, crud.get(db, Speaker, speaker_id))
    changes = command.model_dump(exclude_unset=True)
    if changes.get("full_name", speaker.full_name) != speaker.full_name:
        crud.sessions.revise_of_speaker(db, speaker_id)
    speaker = crud.speakers.lock(db, speaker_id) or speaker
    expected.ensure(speaker.version)
    return crud.save(db, speaker, changes)


def delete(db: Database, actor: User, speaker_id: int, expected: Expected = WHATEVER) -> None:
    """Delete a speaker who speaks nowhere.

    Raises:
        SpeakerHasSessions: they do; ``sessions`` names where, as far as ``actor`` may see.

    """
    speaker = ensure_can_edit_speaker(db, actor, crud.speakers.lock(db, speaker_id))
    expected.ensure(speaker.version)
    sessions = crud.sessions.list_of_speaker(db, speaker_id)
    if sessions:
        raise SpeakerHasSessions(sessions=outlines(db, actor, sessions))
    crud.speakers.detach_from_sessions(db, speaker_id)
    crud.remove(db, speaker)
