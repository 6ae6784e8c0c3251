"""Questions about speakers."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.records import Order, page, within_name
from app.models import (
    Event,
    Session,
    Speaker,
    TeamMember,
    event_speakers,
    session_speakers,
)
from app.models.enums import EventStatus


def list_for_event(db: Database, event_id: int) -> list[Speaker]:
    """Return an event's line-up by name: those attached to it or to one of its sessions."""
    attached = select(event_speakers.c.speaker_id).where(event_speakers.c.event_id == event_id)
    speaking = (
        select(session_speakers.c.speaker_id)
        .join(Session, Session.id == session_speakers.c.session_id)
        .where(Session.event_id == event_id, Session.deleted_at.is_(None))
    )
    line_up = select(Speaker).where(or_(Speaker.id.in_(attached), Speaker.id.in_(speaking)))
    return list(db.scalars(line_up.order_by(Speaker.full_name, Speaker.id)))


def page_made_by(db: Database, user_id: int, paging: Paging, *, search: str | None) -> Slice[Speaker]:
    """Return one page of the speakers that someone keeps, by name."""
    query = select(Speaker).where(Speaker.created_by == user_id)
    if search:
        query = query.where(within_name(Speaker.full_name, search))
    by_name = Order((Speaker.full_name, Speaker.id))
    return page(db, query, paging, by=by_name, filtered=bool(search))


def list_usable(db: Database, ids: Sequence[int], *, makers: Sequence[int], event_id: int) -> set[int]:
    """Return which of ``ids`` an event may name: made by one of ``makers``, or in its line-up already."""
    line_up = {speaker.id for speaker in list_for_event(db, event_id)}
    made = select(Speaker.id).where(Speaker.id.in_(ids), Speaker.created_by.in_(makers))
    return {*db.scalars(made), *line_up.intersection(ids)}


def attach(db: Database, event_id: int, speaker_id: int) -> None:
    """Put a speaker into an event's line-up; one who is there stays."""
    row = {"event_id": event_id, "speaker_id": speaker_id}
    db.execute(insert(event_speakers).values(row).on_conflict_do_nothing())


def exists_in_public_event(db: Database, speaker_id: int) -> bool:
    """Tell whether the speaker is in an event that all may see."""
    return _exists_in_event(db, speaker_id, Event.status != EventStatus.DRAFT)


def exists_in_event_run_by(db: Database, speaker_id: int, user_id: int) -> bool:
    """Tell whether the speaker is in an event that someone owns or helps to run."""
    helped = select(TeamMember.event_id).where(TeamMember.user_id == user_id)
    return _exists_in_event(db, speaker_id, or_(Event.created_by == user_id, Event.id.in_(helped)))


def detach_from_sessions(db: Database, speaker_id: int) -> None:
    """Take a speaker off every session."""
    db.execute(delete(session_speakers).where(session_speakers.c.speaker_id == speaker_id))


def lock(db: Database, speaker_id: int) -> Speaker | None:
    """Return a speaker and keep others from changing it, or naming it in a session, until the end."""
    # By a query: ``db.get`` would refuse one that changed since it was read, instead of reading it again.
    found = select(Speaker).where(Speaker.id == speaker_id)
    return db.scalar(found.with_for_update().execution_options(populate_existing=True))


def _exists_in_event(db: Database, speaker_id: int, condition: ColumnElement[bool]) -> bool:
    attached = select(event_speakers.c.event_id).where(event_speakers.c.speaker_id == speaker_id)
    speaking = (
        select(Session.event_id)
        .join(session_speakers, session_speakers.c.session_id == Session.id)
        .where(session_speakers.c.speaker_id == speaker_id, Session.deleted_at.is_(None))
    )
    in_event = or_(Event.id.in_(attached), Event.id.in_(speaking))
    return bool(db.scalar(select(exists().where(in_event, Event.deleted_at.is_(None), condition))))
