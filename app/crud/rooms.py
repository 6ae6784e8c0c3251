"""Questions about rooms."""

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Database
from app.models import Room


def list_for_event(db: Database, event_id: int) -> list[Room]:
    """Return an event's rooms by name."""
    return list(db.scalars(select(Room).where(Room.event_id == event_id).order_by(Room.name, Room.id)))


def get_by_name(db: Database, event_id: int, name: str) -> Room | None:
    """Return the room that an event calls by that name, in whatever case."""
    return db.scalar(select(Room).where(Room.event_id == event_id, func.lower(Room.name) == func.lower(name)))


def get_or_make(db: Database, event_id: int, name: str) -> Room:
    """Return the room of that name, made if the event has none; of two makers at once, one makes it."""
    found = get_by_name(db, event_id, name)
    if found is None:
        db.execute(insert(Room).values(event_id=event_id, name=name).on_conflict_do_nothing())
        found = get_by_name(db, event_id, name)
    if found is None:
        raise LookupError(f"room {name!r} of event {event_id} went away while it was being made")
    return found


def lock(db: Database, room_id: int) -> Room | None:
    """Return a room and keep others from changing it or planning in it until the end."""
    # By a query: ``db.get`` would refuse one that changed since it was read, instead of reading it again.
    found = select(Room).where(Room.id == room_id)
    return db.scalar(found.with_for_update().execution_options(populate_existing=True))
