"""Questions about sessions, and what stands in a session's way. A deleted one is not there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload, selectinload

from app.core.database import Database
from app.crud.columns import ROOMS, SESSION, SESSIONS
from app.crud.records import attempt, save
from app.models import Event, Room, Seat, Session, Speaker, TeamMember, User, session_speakers
from app.models.enums import EventStatus

# Of how many sessions the speakers are read with one statement.
AT_ONCE = 10_000

KEY = ("session_id", "speaker_id")


def _whole() -> Select[Session]:
    """Select sessions with all that is shown of them."""
    return (
        select(Session)
        .where(Session.deleted_at.is_(None))
        .options(joinedload(Session.place), selectinload(Session.speakers, chunksize=AT_ONCE))
        .order_by(Session.start_at, Session.id)
        .execution_options(populate_existing=True)
    )


_SHOWN = (
    select(*SESSION)
    .join_from(SESSIONS, ROOMS, ROOMS.c.id == SESSIONS.c.room_id, isouter=True)
    .where(SESSIONS.c.event_id == bindparam("event_id"), SESSIONS.c.deleted_at.is_(None))
    .order_by(SESSIONS.c.start_at, SESSIONS.c.id)
)


def list_shown(db: Database, event_id: int) -> Sequence[Row[Any]]:
    """Return what is shown of an event's sessions, in time order, by one query."""
    return db.execute(_SHOWN, {"event_id": event_id}).all()


def get(db: Database, session_id: int) -> Session | None:
    """Return a session with its room and speakers."""
    return db.scalar(_whole().where(Session.id == session_id))


def lock(db: Database, session_id: int) -> Session | None:
    """Return a session and keep others from changing it until the end."""
    found = select(Session).where(Session.id == session_id, Session.deleted_at.is_(None))
    return db.scalar(found.with_for_update().execution_options(populate_existing=True))


def lock_all(db: Database, event_id: int, ids: Collection[int] | None = None) -> dict[int, Session]:
    """Return an event's sessions, those of ``ids`` or all, and keep others from changing them until the end.

    They come by id, with their rooms and speakers, and are locked in that order.
    """
    found = _whole().where(Session.event_id == event_id).order_by(None).order_by(Session.id)
    if ids is not None:
        found = found.where(Session.id.in_(ids))
    return {session.id: session for session in db.scalars(found.with_for_update(of=Session))}


def list_by_ids(db: Database, ids: Collection[int]) -> list[Session]:
    """Return sessions, of whatever event, in time order."""
    return list(db.scalars(_whole().where(Session.id.in_(ids)))) if ids else []


def get_event_id(db: Database, session_id: int) -> int | None:
    """Name the event of a session."""
    return db.scalar(select(Session.event_id).where(Session.id == session_id, Session.deleted_at.is_(None)))


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where and when a session is to be, and with whom: what others are compared with.

    Without ``speaker_ids`` it is with its own; ``places`` is how many people its room has to hold.
    """

    session_id: int | None
    start_at: datetime
    end_at: datetime
    room_id: int | None
    speaker_ids: Sequence[int] | None
    places: int = 0

    @classmethod
    def of(
        cls,
        session: Session,
        changes: Mapping[str, Any],
        speaker_ids: Sequence[int] | None,
    ) -> Self:
        """Describe ``session`` as it would be with ``changes``; without ``speaker_ids``, with its own."""
        return cls(
            session_id=session.id,
            start_at=changes.get("start_at", session.start_at),
            end_at=changes.get("end_at", session.end_at),
            room_id=changes.get("room_id", session.room_id),
            speaker_ids=speaker_ids,
            places=changes.get("own_capacity", session.own_capacity) or session.seats_taken or 0,
        )


_plan = (
    func.unnest(
        bindparam("sessions", type_=ARRAY(Integer)),
        bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
        bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
    )
    .table_valued("session_id", "start_at", "end_at")
    .render_derived()
)
_ROOMS = (
    select(Room.id)
    .where(Room.id == func.any(bindparam("rooms", type_=ARRAY(Integer))))
    .order_by(Room.id)
    .with_for_update(key_share=True)
)
_SPEAKERS = (
    select(Speaker.id)
    .where(
        or_(
            Speaker.id == func.any(bindparam("speakers", type_=ARRAY(Integer))),
            Speaker.id.in_(
                select(session_speakers.c.speaker_id).where(
                    session_speakers.c.session_id == func.any(bindparam("keeping", type_=ARRAY(Integer)))
                )
            ),
        )
    )
    .order_by(Speaker.id)
    .with_for_update(key_share=True)
)
_ATTENDEES = (
    select(User.id)
    .where(
        User.id.in_(
            select(Seat.user_id).join(
                _plan,
                and_(
                    Seat.session_id == _plan.c.session_id,
                    Seat.given_up_at.is_(None),
                    Seat.during != func.tstzrange(_plan.c.start_at, _plan.c.end_at, "[)"),
                ),
            )
        )
    )
    .order_by(User.id)
    .with_for_update(key_share=True)
)


def hold(db: Database, *planned: Attempt) -> None:
    """Let nobody else plan in the rooms of ``planned``, with its speakers or its attendees, until the end.

    The exclusions would hold without: but of two that judge each other at the same moment, one would be
    ended as deadlocked, and would not learn which session is in its way. Sessions that are there already
    are locked before.
    """
    there = [one for one in planned if one.session_id is not None]
    db.execute(_ROOMS, {"rooms": [one.room_id for one in planned if one.room_id is not None]})
    db.execute(
        _SPEAKERS,
        {
            "speakers": [speaker_id for one in planned for speaker_id in one.speaker_ids or ()],
            "keeping": [one.session_id for one in there if one.speaker_ids is None],
        },
    )
    if there:
        moves = {
            "sessions": [one.session_id for one in there],
            "starts": [one.start_at for one in there],
            "ends": [one.end_at for one in there],
        }
        db.execute(_ATTENDEES, moves)


def try_put(
    db: Database,
    session: Session,
    changes: Mapping[str, Any],
    speaker_ids: Sequence[int] | None,
) -> str | None:
    """Write a session and exactly those speakers, or return the constraint that refuses it.

    Speakers who leave are taken off before the session moves, and those who come are put on after. Both
    are an edit of the session.
    """

    def put() -> None:
        version, left, came = session.version, 0, 0
        if speaker_ids is not None and session.id is not None:
            left = _take_off(db, session, keep=speaker_ids)
        save(db, session, changes)
        if speaker_ids:
            came = _put_on(db, session, speaker_ids)
        if left + came > 0 and session.version == version:
            save(db, session, {"updated_at": func.now()})

    return attempt(db, put)


def _take_off(db: Database, session: Session, *, keep: Sequence[int]) -> int:
    """Take all speakers but those off a session, and count them."""
    links = session_speakers.c
    others = and_(links.session_id == session.id, links.speaker_id.not_in(keep))
    return len(db.scalars(delete(session_speakers).where(others).returning(links.speaker_id)).all())


def _put_on(db: Database, session: Session, speaker_ids: Sequence[int]) -> int:
    """Put those speakers on a session who are not, and count them."""
    rows = [
        {"session_id": session.id, "speaker_id": speaker_id, "during": session.during}
        for speaker_id in sorted(set(speaker_ids))
    ]
    new = insert(session_speakers).values(rows).on_conflict_do_nothing(index_elements=KEY)
    return len(db.scalars(new.returning(session_speakers.c.speaker_id)).all())


def list_in_room_during(db: Database, planned: Attempt) -> list[Session]:
    """Return the sessions that hold the room when ``planned`` would."""
    return _list_in_the_way(db, Session.room_id == planned.room_id, planned)


def list_of_speakers_during(db: Database, planned: Attempt) -> list[Session]:
    """Return the sessions, of whatever event, that hold one of the speakers when ``planned`` would."""
    links = session_speakers.c
    held = select(links.session_id).where(links.speaker_id.in_(_speakers_of(planned)))
    return _list_in_the_way(db, Session.id.in_(held), planned)


def list_of_speaker(db: Database, speaker_id: int) -> list[Session]:
    """Return the sessions that a speaker is in, those in deleted events aside."""
    held = select(session_speakers.c.session_id).where(session_speakers.c.speaker_id == speaker_id)
    alive = select(Event.id).where(Event.deleted_at.is_(None))
    return list(db.scalars(_whole().where(Session.id.in_(held), Session.event_id.in_(alive))))


def _speakers_of(planned: Attempt) -> Sequence[int] | Select[int]:
    if planned.speaker_ids is not None:
        return planned.speaker_ids
    own = session_speakers.alias()
    return select(own.c.speaker_id).where(own.c.session_id == planned.session_id)


def _list_in_the_way(db: Database, condition: ColumnElement[bool], planned: Attempt) -> list[Session]:
    at_that_time = Session.during.op("&&")(func.tstzrange(planned.start_at, planned.end_at, "[)"))
    query = _whole().where(condition, at_that_time)
    if planned.session_id is not None:
        query = query.where(Session.id != planned.session_id)
    return list(db.scalars(query))


def list_outside(db: Database, event_id: int, start_at: datetime, end_at: datetime) -> list[Session]:
    """Return an event's sessions that would begin before ``start_at`` or end after ``end_at``."""
    outside = or_(Session.start_at < start_at, Session.end_at > end_at)
    return list(db.scalars(_whole().where(Session.event_id == event_id, outside)))


def list_in_room(db: Database, room_id: int) -> list[Session]:
    """Return the sessions planned in a room, in time order."""
    return list(db.scalars(_whole().where(Session.room_id == room_id)))


def list_larger_than(db: Database, room_id: int, capacity: int) -> list[Session]:
    """Return the sessions in a room that have more places of their own, or seats taken, than ``capacity``."""
    larger = or_(Session.own_capacity > capacity, Session.seats_taken > capacity)
    return list(db.scalars(_whole().where(Session.room_id == room_id, larger)))


def list_parallel_in(db: Database, room_id: int) -> list[Session]:
    """Return the sessions in a room that are held at the same time as another one there."""
    other = select(Session.id, Session.during, Session.room_id).subquery()
    overlap = select(other.c.id).where(
        other.c.room_id == room_id,
        other.c.id != Session.id,
        Session.during.op("&&")(other.c.during),
    )
    return list(db.scalars(_whole().where(Session.room_id == room_id, overlap.exists())))


def leave_rooms(db: Database, room_id: int) -> None:
    """Take the deleted sessions out of a room, so that it can go."""
    gone = update(Session).where(Session.room_id == room_id, Session.deleted_at.is_not(None))
    db.execute(gone.values(room_id=None, room_parallel=None, room_seats=None))


def revise_in_room(db: Database, room_id: int) -> None:
    """Number an edit of the sessions in a room, which are shown with its name."""
    _revise(db, Session.room_id == room_id)


def revise_of_speaker(db: Database, speaker_id: int) -> None:
    """Number an edit of the sessions of a speaker, which are shown with that name.

    They are locked before the speaker is, and their events before them, as by those who plan.
    """
    theirs = select(session_speakers.c.session_id).where(session_speakers.c.speaker_id == speaker_id)
    held = select(Session.event_id).where(Session.id.in_(theirs))
    events = select(Event.id).where(Event.id.in_(held)).order_by(Event.id)
    db.execute(events.with_for_update(read=True, key_share=True))
    sessions = select(Session.id).where(Session.id.in_(theirs)).order_by(Session.id)
    # Those and no others: one that the speaker joins meanwhile is edited by whoever puts them there.
    locked = db.scalars(sessions.with_for_update(key_share=True)).all()
    _revise(db, Session.id.in_(locked))


def _revise(db: Database, condition: ColumnElement[bool]) -> None:
    db.execute(
        update(Session).where(condition).values(version=Session.version + 1, updated_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def list_visible(db: Database, ids: Sequence[int], viewer_id: int) -> set[int]:
    """Return which of the sessions someone may see: those of public events and of events they run."""
    helped = select(TeamMember.event_id).where(TeamMember.user_id == viewer_id)
    seen = or_(
        Event.status != EventStatus.DRAFT,
        Event.created_by == viewer_id,
        Event.id.in_(helped),
    )
    query = select(Session.id).join(Event, Event.id == Session.event_id)
    return set(db.scalars(query.where(Session.id.in_(ids), seen)))
