"""A whole schedule at once: looked up, written and judged in a fixed number of statements."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Integer,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased, joinedload, selectinload
from sqlalchemy.types import TypeEngine

from app.core.database import Database
from app.models import (
    Base,
    Event,
    Room,
    Seat,
    Session,
    Speaker,
    User,
    event_speakers,
    session_speakers,
)
from app.models.constraints import AGENDA_CONFLICT, ROOM_TAKEN, SPEAKER_BUSY

IDS = bindparam("ids", type_=ARRAY(Integer))


@dataclass(eq=False, slots=True)
class Talk:
    """A session as a schedule wants it, in a room and with speakers that may be new as well.

    ``session`` is the one that it changes, or None for one to make; ``changed`` is False where it says
    nothing new.
    """

    guid: UUID
    title: str
    description: str | None
    start_at: datetime
    end_at: datetime
    room: Room | None
    speakers: Sequence[Speaker]
    session: Session | None
    changed: bool = True


class Clash(NamedTuple):
    """What a constraint says of a schedule: which of its sessions break it, with which one that stays.

    ``people`` counts those whose agendas it breaks.
    """

    violation: str
    talks: Sequence[Talk]
    staying_id: int | None = None
    people: int = 0


class _Undo(Exception):  # noqa: N818 - no failure: the way out of a savepoint that keeps nothing
    pass


def _table(**columns: TypeEngine[Any]) -> TableValuedAlias:
    """Read arrays of equal length, each bound under the name of its column, as the rows of a table."""
    arrays = [cast(bindparam(name), ARRAY(kind)) for name, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived()


# On the tables and not the models: the ORM would take the arrays for rows.
_sessions = Base.metadata.tables["sessions"]

_wanted = _table(
    session_id=Integer(),
    title=Text(),
    description=Text(),
    start_at=DateTime(timezone=True),
    end_at=DateTime(timezone=True),
    room_id=Integer(),
    room_parallel=Boolean(),
    room_seats=Integer(),
)
_MOVE = (
    update(_sessions)
    .where(_sessions.c.id == _wanted.c.session_id)
    .values(
        title=_wanted.c.title,
        description=_wanted.c.description,
        start_at=_wanted.c.start_at,
        end_at=_wanted.c.end_at,
        room_id=_wanted.c.room_id,
        room_parallel=_wanted.c.room_parallel,
        room_seats=_wanted.c.room_seats,
        deleted_at=None,
        updated_at=func.now(),
        version=_sessions.c.version + 1,
    )
)

_pairs = _table(session_ids=Integer(), speaker_ids=Integer())
_TAKE_OFF = delete(session_speakers).where(
    session_speakers.c.session_id == func.any(IDS),
    tuple_(session_speakers.c.session_id, session_speakers.c.speaker_id).not_in(
        select(_pairs.c.session_ids, _pairs.c.speaker_ids)
    ),
)
_PUT_ON = (
    insert(session_speakers)
    .from_select(
        ["session_id", "speaker_id", "during"],
        select(_pairs.c.session_ids, _pairs.c.speaker_ids, _sessions.c.during).join(
            _sessions, _sessions.c.id == _pairs.c.session_ids
        ),
    )
    .on_conflict_do_nothing(index_elements=["session_id", "speaker_id"])
)

_this, _other = aliased(Session), aliased(Session)
_IN_ROOM = (
    select(_this.id, _other.id, literal(0))
    .join(
        _other,
        and_(
            _other.room_id == _this.room_id,
            _other.during.op("&&")(_this.during),
            _other.id != _this.id,
        ),
    )
    .where(_this.id == func.any(IDS), _this.room_parallel.is_(False))
    .order_by(_this.id, _other.id)
)

_link, _other_link = session_speakers.alias(), session_speakers.alias()
_BY_SPEAKER = (
    select(_link.c.session_id, _other_link.c.session_id, literal(0))
    .join(
        _other_link,
        and_(
            _other_link.c.speaker_id == _link.c.speaker_id,
            _other_link.c.during.op("&&")(_link.c.during),
            _other_link.c.session_id != _link.c.session_id,
        ),
    )
    .where(_link.c.session_id == func.any(IDS))
    .distinct()
    .order_by(_link.c.session_id, _other_link.c.session_id)
)

_seat, _other_seat = aliased(Seat), aliased(Seat)
_IN_AGENDAS = (
    select(_seat.session_id, _other_seat.session_id, func.count(_seat.user_id.distinct()))
    .join(
        _other_seat,
        and_(
            _other_seat.user_id == _seat.user_id,
            _other_seat.during.op("&&")(_seat.during),
            _other_seat.session_id != _seat.session_id,
            _other_seat.given_up_at.is_(None),
        ),
    )
    .where(_seat.session_id == func.any(IDS), _seat.given_up_at.is_(None))
    .group_by(_seat.session_id, _other_seat.session_id)
    .order_by(_seat.session_id, _other_seat.session_id)
)

CLASHES = {ROOM_TAKEN: _IN_ROOM, SPEAKER_BUSY: _BY_SPEAKER, AGENDA_CONFLICT: _IN_AGENDAS}


def lock_sessions(db: Database, event_id: int) -> list[Session]:
    """Return all sessions that an event has ever had and keep others from changing them until the end."""
    query = select(Session).where(Session.event_id == event_id).order_by(Session.id)
    locked = query.with_for_update(of=Session).options(
        joinedload(Session.place), selectinload(Session.speakers)
    )
    return list(db.scalars(locked, execution_options={"populate_existing": True}))


def list_speakers(
    db: Database,
    event_id: int,
    makers: Collection[int],
    guids: Collection[UUID],
    names: Collection[str],
) -> list[Speaker]:
    """Return, by id, who has one of those guids or names and may be named in sessions of an event.

    They were made by one of ``makers``, or are in the line-up of the event already.
    """
    attached = select(event_speakers.c.speaker_id).where(event_speakers.c.event_id == event_id)
    speaking = (
        select(session_speakers.c.speaker_id)
        .join(Session, Session.id == session_speakers.c.session_id)
        .where(Session.event_id == event_id)
    )
    query = select(Speaker).where(
        or_(Speaker.guid.in_(guids), Speaker.full_name.in_(names)),
        or_(Speaker.created_by.in_(makers), Speaker.id.in_(attached), Speaker.id.in_(speaking)),
    )
    return list(db.scalars(query.order_by(Speaker.id)))


def hold(db: Database, talks: Sequence[Talk]) -> None:
    """Let nobody else plan in the rooms of ``talks``, with their speakers or attendees, until the end.

    The exclusions would hold without; but of two who judge each other's plans at once, one would be ended
    as deadlocked.
    """
    room_ids = {talk.room.id for talk in talks if talk.room is not None}
    speaker_ids = {speaker.id for talk in talks for speaker in talk.speakers}
    rooms = select(Room.id).where(Room.id.in_(room_ids - {None})).order_by(Room.id)
    db.execute(rooms.with_for_update(key_share=True))
    speakers = select(Speaker.id).where(Speaker.id.in_(speaker_ids - {None})).order_by(Speaker.id)
    db.execute(speakers.with_for_update(key_share=True))
    moving = [talk.session.id for talk in talks if talk.session is not None]
    seated = select(Seat.user_id).where(Seat.session_id.in_(moving), Seat.given_up_at.is_(None))
    attendees = select(User.id).where(User.id.in_(seated)).order_by(User.id)
    db.execute(attendees.with_for_update(key_share=True))


def try_write(db: Database, event: Event, talks: Sequence[Talk], *, keep: bool) -> list[Clash]:
    """Write the sessions of a schedule and return what clashes, judged when all of them stand.

    So two sessions can swap. If anything clashes, or unless it is to ``keep``, nothing stays written.
    """
    clashes: list[Clash] = []
    with suppress(_Undo), db.begin_nested():
        db.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        written = _write(db, event, talks)
        clashes = _list_clashes(db, written)
        if clashes or not keep:
            raise _Undo
        db.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    return clashes


def _write(db: Database, event: Event, talks: Sequence[Talk]) -> dict[int, Talk]:
    """Write rooms, speakers and sessions, and return ``talks`` by the ids of the sessions."""
    _add(db, [talk.room for talk in talks if talk.room is not None])
    _add(db, [speaker for talk in talks for speaker in talk.speakers])
    written = {talk.session.id: talk for talk in talks if talk.session is not None}
    columns = {
        "session_id": list(written),
        "title": [talk.title for talk in written.values()],
        "description": [talk.description for talk in written.values()],
        "start_at": [talk.start_at for talk in written.values()],
        "end_at": [talk.end_at for talk in written.values()],
    }
    rooms = [Room.copies(talk.room) for talk in written.values()]
    copies = {name: [room[name] for room in rooms] for name in Room.copies(None)}
    db.execute(_MOVE, {**columns, **copies})
    new = {_session(event, talk): talk for talk in talks if talk.session is None}
    _add(db, list(new))
    written |= {session.id: talk for session, talk in new.items()}
    pairs = [(key, speaker.id) for key, talk in written.items() for speaker in talk.speakers]
    bound = {"session_ids": [key for key, _ in pairs], "speaker_ids": [key for _, key in pairs]}
    db.execute(_TAKE_OFF, {"ids": list(written), **bound})
    db.execute(_PUT_ON, bound)
    return written


def _add(db: Database, rows: Sequence[Base]) -> None:
    # Those that are there already are in the unit of work, and stay as they are.
    db.add_all(rows)
    db.flush()


def _session(event: Event, talk: Talk) -> Session:
    return Session(
        event_id=event.id,
        guid=talk.guid,
        title=talk.title,
        description=talk.description,
        start_at=talk.start_at,
        end_at=talk.end_at,
        **event.window,
        **Room.copies(talk.room),
    )


def _list_clashes(db: Database, written: Mapping[int, Talk]) -> list[Clash]:
    clashes = []
    for violation, query in CLASHES.items():
        for key, other, people in db.execute(query, {"ids": list(written)}):
            if other not in written:
                clashes.append(Clash(violation, [written[key]], other, people))
            elif key < other:  # and not once more from the other's side
                clashes.append(Clash(violation, [written[key], written[other]], None, people))
    return clashes


def list_sessions(db: Database, ids: Collection[int]) -> list[Session]:
    """Return sessions by their ids, with their rooms and speakers, in time order."""
    query = select(Session).where(Session.id.in_(ids)).order_by(Session.start_at, Session.id)
    whole = query.options(joinedload(Session.place), selectinload(Session.speakers))
    return list(db.scalars(whole, execution_options={"populate_existing": True}))
