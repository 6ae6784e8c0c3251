"""Schedules as conferences exchange them: an event's, written whole and taken in whole."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256

from app import crud
from app.core import frab
from app.core.database import Database
from app.core.documents import Document
from app.core.exceptions import ScheduleConflict
from app.core.text import printable
from app.crud.schedules import Clash, Talk
from app.models import Event, Room, Session, Speaker, User
from app.models.constraints import AGENDA_CONFLICT, CONSTRAINT_PROBLEMS, INSIDE_EVENT, ROOM_TOO_SMALL
from app.policies import ensure_can_edit_event, ensure_can_see_event, list_visible_sessions
from app.schemas.schedules import (
    Address,
    PlannedPerson,
    PlannedTalk,
    ScheduleClash,
    ScheduleFile,
    ScheduleImported,
    ScheduleRead,
    TalkOutline,
    schedule_of,
)
from app.schemas.sessions import outline

VERSION_LENGTH = 12


def as_json(db: Database, viewer: User | None, event_id: int, address: Address) -> Document:
    """Return an event's schedule as JSON, to all; that of a draft to its team only."""
    text = _schedule(db, viewer, event_id, address).model_dump_json()
    return Document("application/json", text, text.encode)


def as_xml(db: Database, viewer: User | None, event_id: int, address: Address) -> Document:
    """Return an event's schedule as XML, to all; that of a draft to its team only."""
    schedule = _schedule(db, viewer, event_id, address)
    return Document(
        "application/xml",
        schedule.model_dump_json(),
        lambda: frab.write_xml(schedule.model_dump(mode="json")),
    )


def _schedule(db: Database, viewer: User | None, event_id: int, address: Address) -> ScheduleRead:
    event = ensure_can_see_event(db, viewer, crud.events.get_with_sessions(db, event_id))
    read = schedule_of(event, address)
    read.schedule.version = sha256(read.model_dump_json().encode()).hexdigest()[:VERSION_LENGTH]
    return read


def take_in(
    db: Database, actor: User, event_id: int, file: ScheduleFile, *, dry_run: bool
) -> ScheduleImported:
    """Make and change an event's sessions as a schedule has them, all or none.

    A session is known by its guid within the event; those that the schedule does not name stay as they
    are. With ``dry_run`` nothing is written, and what clashes is answered instead of refused.

    Raises:
        ScheduleConflict: some sessions cannot be so; ``conflicts`` names each and what is in its way.

    """
    event = ensure_can_edit_event(db, actor, crud.events.lock(db, event_id))
    talks = _plan(db, actor, event, file.talks)
    changed = [talk for talk in talks if talk.changed]
    # What a CHECK would refuse at once is found before, so that the rest can be judged all the same.
    misfits = [clash for talk in changed for clash in _misfits(event, talk)]
    unfit = {talk for clash in misfits for talk in clash.talks}
    fitting = [talk for talk in changed if talk not in unfit]
    # Before anything is written: a speaker that is made and undone keeps its id here.
    outlines = {talk: _outline(talk) for talk in changed}
    crud.schedules.hold(db, fitting)
    clashes = crud.schedules.try_write(db, event, fitting, keep=not misfits and not dry_run)
    conflicts = _describe(db, actor, [*misfits, *clashes], outlines)
    if conflicts and not dry_run:
        raise ScheduleConflict(conflicts=[conflict.model_dump(mode="json") for conflict in conflicts])
    created = sum(talk.session is None for talk in changed)
    return ScheduleImported(
        created=created,
        updated=len(changed) - created,
        unchanged=len(talks) - len(changed),
        conflicts=conflicts,
    )


def _plan(db: Database, actor: User, event: Event, wanted: Sequence[PlannedTalk]) -> list[Talk]:
    """Find the session, the room and the speakers of each talk, or make them, unwritten."""
    sessions = {session.guid: session for session in crud.schedules.lock_sessions(db, event.id)}
    rooms = {room.name.lower(): room for room in crud.rooms.list_for_event(db, event.id)}
    find_speaker = _speaker_finder(db, actor, event, [person for talk in wanted for person in talk.persons])
    talks = []
    for talk in wanted:
        if talk.room and talk.room.lower() not in rooms:
            rooms[talk.room.lower()] = Room(event_id=event.id, name=talk.room, allow_parallel=False)
        planned = Talk(
            guid=talk.guid,
            title=talk.title,
            description=talk.words,
            start_at=talk.date,
            end_at=talk.end_at,
            room=rooms[talk.room.lower()] if talk.room else None,
            speakers=list(dict.fromkeys(find_speaker(person) for person in talk.persons)),
            session=sessions.get(talk.guid),
        )
        planned.changed = planned.session is None or _differs(planned, planned.session)
        talks.append(planned)
    return talks


def _differs(talk: Talk, session: Session) -> bool:
    return (
        session.deleted_at is not None
        or printable(session.title) != talk.title
        or (printable(session.description or "") or None) != talk.description
        or (session.start_at, session.end_at) != (talk.start_at, talk.end_at)
        or session.place is not talk.room
        or set(session.speakers) != set(talk.speakers)
    )


def _speaker_finder(
    db: Database, actor: User, event: Event, persons: Sequence[PlannedPerson]
) -> Callable[[PlannedPerson], Speaker]:
    """Return what finds a speaker by guid, else by name among the actor's own, and else makes one."""
    guids = {person.guid for person in persons if person.guid is not None}
    names = {person.public_name for person in persons}
    known = crud.schedules.list_speakers(db, event.id, {actor.id, event.created_by}, guids, names)
    # One's own before another's, the oldest first.
    known.sort(key=lambda speaker: (speaker.created_by != actor.id, speaker.id))
    found: dict[object, Speaker] = {}
    for speaker in known:
        if speaker.guid in guids:
            found.setdefault(speaker.guid, speaker)
    taken = set(found.values())
    namesakes: defaultdict[str, list[Speaker]] = defaultdict(list)
    for speaker in known:
        if speaker.created_by == actor.id and speaker not in taken:
            namesakes[speaker.full_name].append(speaker)

    def find(person: PlannedPerson) -> Speaker:
        key = person.guid or person.public_name
        if key not in found:
            others = namesakes[person.public_name]
            # Two people of one name who have guids of their own are two people.
            found[key] = others.pop(0) if others else _new_speaker(actor, person)
        return found[key]

    return find


def _new_speaker(actor: User, person: PlannedPerson) -> Speaker:
    known = {} if person.guid is None else {"guid": person.guid}
    return Speaker(full_name=person.public_name, created_by=actor.id, **known)


def _misfits(event: Event, talk: Talk) -> Iterator[Clash]:
    if talk.start_at < event.start_at or talk.end_at > event.end_at:
        yield Clash(INSIDE_EVENT, [talk])
    if talk.session is not None and talk.room is not None and talk.room.capacity is not None:
        places = max(talk.session.own_capacity or 0, talk.session.seats_taken)
        if places > talk.room.capacity:
            yield Clash(ROOM_TOO_SMALL, [talk])


def _describe(
    db: Database, actor: User, clashes: Sequence[Clash], planned: Mapping[Talk, TalkOutline]
) -> list[ScheduleClash]:
    ids = {clash.staying_id for clash in clashes if clash.staying_id is not None}
    staying = crud.schedules.list_sessions(db, ids)
    visible = list_visible_sessions(db, actor, staying)
    others = {session.id: outline(session, visible=session.id in visible) for session in staying}
    return [
        ScheduleClash(
            kind=CONSTRAINT_PROBLEMS[clash.violation].slug(),
            sessions=[planned[talk] for talk in clash.talks],
            conflicts=[] if clash.staying_id is None else [others[clash.staying_id]],
            people=clash.people if clash.violation == AGENDA_CONFLICT else None,
        )
        for clash in clashes
    ]


def _outline(talk: Talk) -> TalkOutline:
    return TalkOutline(
        session_id=None if talk.session is None else talk.session.id,
        guid=talk.guid,
        title=talk.title,
        start_at=talk.start_at,
        end_at=talk.end_at,
        room=None if talk.room is None else talk.room.name,
        speaker_ids=sorted(speaker.id for speaker in talk.speakers if speaker.id is not None),
    )
