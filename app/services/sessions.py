"""Sessions: planned in rooms, with speakers, and never where another one stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import crud
from app.conflicts import outlines
from app.core.conditional import WHATEVER, Expected
from app.core.database import Database
from app.core.exceptions import (
    AgendaConflict,
    CapacityBelowConfirmed,
    InvalidRequest,
    NotFound,
    Problem,
    RoomTooSmall,
    SessionOutsideEvent,
    UnknownSpeaker,
)
from app.crud.sessions import Attempt
from app.models import Event, Room, Session, User
from app.models.constraints import (
    AGENDA_CONFLICT,
    CONSTRAINT_PROBLEMS,
    INSIDE_EVENT,
    ROOM_TAKEN,
    SESSION_FULL,
    SPEAKER_BUSY,
)
from app.policies import ensure_can_edit_event, ensure_can_see_event
from app.schemas.sessions import (
    OnAgendaConflict,
    SessionPlan,
    SessionRead,
    SessionRescheduled,
    SessionUpdate,
    suggestion,
)
from app.schemas.users import UserBrief

IN_THE_WAY = {
    ROOM_TAKEN: crud.sessions.list_in_room_during,
    SPEAKER_BUSY: crud.sessions.list_of_speakers_during,
}


def list_for_event(db: Database, viewer: User | None, event_id: int) -> Sequence[Any]:
    """Return what is shown of an event's sessions, in time order."""
    ensure_can_see_event(db, viewer, crud.events.get(db, event_id))
    return crud.sessions.list_shown(db, event_id)


def read(db: Database, viewer: User | None, session_id: int) -> Session:
    """Return a session."""
    session = crud.sessions.get(db, session_id)
    if session is None:
        raise _no_such_session()
    ensure_can_see_event(db, viewer, crud.events.get(db, session.event_id))
    return session


def schedule(db: Database, actor: User, event_id: int, plan: SessionPlan) -> Session:
    """Plan a session.

    Raises:
        SessionOutsideEvent: it would begin before the event or end after it.
        RoomTaken: another session is in the room then; ``conflicts`` names it, ``suggestions`` where and when
            there is room instead.
        RoomTooSmall: the session has more places than the room.
        SpeakerBusy: a speaker is in another session then, of whatever event; members as with ``RoomTaken``.
        UnknownSpeaker: a speaker does not exist or is not the actor's to name.

    """
    event = ensure_can_edit_event(db, actor, crud.events.lock_window(db, event_id))
    session = Session(event_id=event.id, **event.window)
    return _put(db, actor, _prepare(db, actor, event, session, plan.model_dump()))


def reschedule(  # noqa: PLR0913, PLR0917 - each is a part of the request
    db: Database,
    actor: User,
    session_id: int,
    command: SessionUpdate,
    on_agenda_conflict: OnAgendaConflict = "refuse",
    expected: Expected = WHATEVER,
) -> Session | SessionRescheduled:
    """Change a session: its times, room, places, speakers or words. Refuses as ``schedule`` does.

    With ``release``, those who have a seat elsewhere at its new time give up theirs in it, and are named.

    Raises:
        AgendaConflict: without ``release``; ``people`` counts them, ``conflicts`` names where they sit then.
        CapacityBelowConfirmed: more seats are taken than that.

    """
    event, session = _editable(db, actor, session_id)
    expected.ensure(session.version)
    changes = command.model_dump(exclude_unset=True)
    if changes.get("end_at", session.end_at) <= changes.get("start_at", session.start_at):
        raise InvalidRequest.at("end_at", "end_at has to be after start_at")
    planned = _prepare(db, actor, event, session, changes)
    if on_agenda_conflict == "refuse":
        return _put(db, actor, planned)
    released = [UserBrief.model_validate(user) for user in crud.seats.release(db, planned.attempt)]
    moved = _put(db, actor, planned)
    shown = SessionRead.model_validate(moved)
    return SessionRescheduled(**shown.model_dump(), version=moved.version, released=released)


def cancel(db: Database, actor: User, session_id: int, expected: Expected = WHATEVER) -> None:
    """Delete a session: its room, its speakers and all who have a seat are free at once."""
    _, session = _editable(db, actor, session_id)
    expected.ensure(session.version)
    crud.soft_delete(db, session)


def _editable(db: Database, actor: User, session_id: int) -> tuple[Event, Session]:
    """Lock a session, after its event as everybody does, and return both to those who may edit them."""
    event_id = crud.sessions.get_event_id(db, session_id)
    event = crud.events.lock_window(db, event_id) if event_id is not None else None
    session = crud.sessions.lock(db, session_id)
    if session is None:
        raise _no_such_session()
    return ensure_can_edit_event(db, actor, event), session


@dataclass(frozen=True, slots=True)
class _Planned:
    """A session of an event, what is to be written to it, and what that is compared with."""

    event: Event
    session: Session
    changes: Mapping[str, Any]
    attempt: Attempt


def _prepare(db: Database, actor: User, event: Event, session: Session, changes: dict[str, Any]) -> _Planned:
    """Turn ``changes`` as a client says them into those of a row, and hold all that they touch."""
    speaker_ids = changes.pop("speaker_ids", None)
    _check_speakers(db, actor, event, speaker_ids or ())
    if "capacity_total" in changes:
        changes["own_capacity"] = changes.pop("capacity_total")
    if "room" in changes:
        name = changes.pop("room")
        changes |= Room.copies(crud.rooms.get_or_make(db, event.id, name) if name else None)
    attempt = Attempt.of(session, changes, speaker_ids)
    crud.sessions.hold(db, attempt)
    return _Planned(event, session, changes, attempt)


def _put(db: Database, actor: User, planned: _Planned) -> Session:
    """Write what is planned, or refuse and name what stands in its way."""
    session, attempt = planned.session, planned.attempt
    violation = crud.sessions.try_put(db, session, planned.changes, attempt.speaker_ids)
    if violation == SESSION_FULL:
        raise _too_few_places(session.seats_taken, planned.changes)
    if violation is not None:
        raise _refusal(db, actor, planned.event, attempt, violation)
    return crud.sessions.get(db, session.id) or session


def _check_speakers(db: Database, actor: User, event: Event, speaker_ids: Sequence[int]) -> None:
    makers = (actor.id, event.created_by)
    usable = (
        crud.speakers.list_usable(db, speaker_ids, makers=makers, event_id=event.id) if speaker_ids else ()
    )
    unknown = sorted(set(speaker_ids).difference(usable))
    if unknown:
        raise UnknownSpeaker(speaker_ids=unknown)


def _refusal(db: Database, actor: User, event: Event, attempt: Attempt, violation: str) -> Problem:
    """Say in the problem's members what the database would not say: which sessions are in the way."""
    if violation in IN_THE_WAY:
        openings = crud.openings.list_nearest(db, event, attempt)
        return CONSTRAINT_PROBLEMS[violation](
            conflicts=outlines(db, actor, IN_THE_WAY[violation](db, attempt)),
            suggestions=[suggestion(opening) for opening in openings],
        )
    if violation == AGENDA_CONFLICT:
        return _agenda_conflict(db, actor, attempt)
    if violation == INSIDE_EVENT:
        window = f"from {event.start_at:%Y-%m-%d %H:%M} to {event.end_at:%Y-%m-%d %H:%M} {event.start_at:%Z}"
        return SessionOutsideEvent(f"The event lasts {window}, and the session has to lie within that.")
    return CONSTRAINT_PROBLEMS[violation]()


def _agenda_conflict(db: Database, actor: User, attempt: Attempt) -> Problem:
    clashes = crud.seats.list_clashes(db, attempt)
    people = len({user_id for user_id, _ in clashes})
    in_the_way = crud.sessions.list_by_ids(db, {session_id for _, session_id in clashes})
    return AgendaConflict(
        f"{people} of those with a seat here have another one at that time, in the sessions that 'conflicts'"
        " names. Choose another time, or release their seats here with on_agenda_conflict=release.",
        people=people,
        conflicts=outlines(db, actor, in_the_way),
    )


def _too_few_places(seats_taken: int, changes: Mapping[str, Any]) -> Problem:
    """Say whether it is the session's own number of places or that of its new room that is too small."""
    if changes.get("own_capacity") is None:
        return RoomTooSmall(f"{seats_taken} seats are taken. Choose a room that holds as many people.")
    return CapacityBelowConfirmed(
        f"{seats_taken} seats are taken. Choose a capacity of at least that.", confirmed=seats_taken
    )


def _no_such_session() -> NotFound:
    return NotFound("There is no such session. Check the id.")
