"""Rooms of an event."""

from app import crud
from app.conflicts import outlines
from app.core.conditional import WHATEVER, Expected
from app.core.database import Database
from app.core.exceptions import NotFound, RoomInUse, RoomNameTaken
from app.models import Room, Session, User
from app.models.constraints import ROOM_TAKEN
from app.policies import ensure_can_edit_event, ensure_can_see_event
from app.schemas.rooms import RoomCreate, RoomUpdate


def list_for_event(db: Database, viewer: User | None, event_id: int) -> list[Room]:
    """Return an event's rooms by name."""
    ensure_can_see_event(db, viewer, crud.events.get(db, event_id))
    return crud.rooms.list_for_event(db, event_id)


def create(db: Database, actor: User, command: RoomCreate) -> Room:
    """Add a room to an event.

    Raises:
        RoomNameTaken: the event has a room of that name, in whatever case.

    """
    ensure_can_edit_event(db, actor, crud.events.lock_window(db, command.event_id))
    if crud.rooms.get_by_name(db, command.event_id, command.name):
        raise RoomNameTaken
    return crud.save(db, Room(**command.model_dump()))


def edit(db: Database, actor: User, room_id: int, command: RoomUpdate, expected: Expected = WHATEVER) -> Room:
    """Change a room.

    Raises:
        RoomNameTaken: the event has another room of that name.
        RoomInUse: sessions forbid it, being parallel or having more places or seats; ``sessions`` names them.

    """
    room = _editable(db, actor, room_id)
    expected.ensure(room.version)
    changes = command.model_dump(exclude_unset=True)
    namesake = crud.rooms.get_by_name(db, room.event_id, changes.get("name", room.name))
    if namesake is not None and namesake.id != room.id:
        raise RoomNameTaken
    capacity = changes.get("capacity")
    if capacity is not None:
        larger = crud.sessions.list_larger_than(db, room_id, capacity)
        _refuse_if_any(
            db,
            actor,
            larger,
            "Sessions in this room have more places, or seats taken, than that; 'sessions' names them.",
        )
    renamed = changes.get("name", room.name) != room.name
    violation = crud.try_save(db, room, changes)
    if violation == ROOM_TAKEN:
        parallel = crud.sessions.list_parallel_in(db, room_id)
        _refuse_if_any(db, actor, parallel, "Sessions in this room are parallel; 'sessions' names them.")
    if violation is not None:
        raise RoomInUse
    if renamed:
        crud.sessions.revise_in_room(db, room_id)
    return room


def delete(db: Database, actor: User, room_id: int, expected: Expected = WHATEVER) -> None:
    """Delete a room that no session is planned in.

    Raises:
        RoomInUse: sessions are; ``sessions`` names them.

    """
    room = _editable(db, actor, room_id)
    expected.ensure(room.version)
    _refuse_if_any(db, actor, crud.sessions.list_in_room(db, room_id), RoomInUse.default_detail)
    crud.sessions.leave_rooms(db, room_id)
    crud.remove(db, room)


def _editable(db: Database, actor: User, room_id: int) -> Room:
    """Lock a room, after its event as everybody does, and return it to those who may edit it."""
    room = crud.get(db, Room, room_id)
    event = crud.events.lock(db, room.event_id) if room else None
    room = crud.rooms.lock(db, room_id)
    if room is None:
        raise NotFound("There is no such room. Check the id.")
    ensure_can_edit_event(db, actor, event)
    return room


def _refuse_if_any(db: Database, actor: User, sessions: list[Session], detail: str) -> None:
    if sessions:
        raise RoomInUse(detail, sessions=outlines(db, actor, sessions))
