"""Questions about rooms."""

from collections.abc import Collection

from sqlalchemy import ARRAY, String, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Database
from app.models import Room


def list_for_event(db: Database, event_id: int) -> list[Room]:
    """Return an event's rooms by name."""
    return list(db.scalars(select(Room).where(Room.event_id == event_id).order_by(Room.name, Room.id)))


def get_by_name(db: Database, event_id: int, name: str) -> Room | None:
    """Return the room that an event calls by that name, in whatever case."""
    return db.scalar(select(Room).where(Room.event_id == event_id, func.lower(Room.name) == func.lower(name)))


def map_by_name(db: Database, event_id: int, names: Collection[str]) -> dict[str, Room]:
    """Return the rooms that an event calls by these names, in whatever case, as far as it has them."""
    asked = func.unnest(bindparam("names", list(names), ARRAY(String))).column_valued("asked")
    same = and_(Room.event_id == event_id, func.lower(Room.name) == func.lower(asked))
    return {row.asked: row.Room for row in db.execute(select(asked, Room).join(Room, same))}


def map_or_make(db: Database, event_id: int, names: Collection[str]) -> dict[str, Room]:
    """Return the rooms of these names, made if the event has none; of two makers at once, one makes it.

    Rooms are made in the order of their names, so that two makers never wait for each other in a circle.
    """
    found = map_by_name(db, event_id, names)
    missing = sorted((name for name in dict.fromkeys(names) if name not in found), key=str.lower)
    if not missing:
        return found
    made = insert(Room).values([{"event_id": event_id, "name": name} for name in missing])
    db.execute(made.on_conflict_do_nothing())
    return map_by_name(db, event_id, names)


def get_or_make(db: Database, event_id: int, name: str) -> Room:
    """Return the room of that name, made if the event has none."""
    return map_or_make(db, event_id, [name])[name]


def lock(db: Database, room_id: int) -> Room | None:
    """Return a room and keep others from changing it or planning in it until the end."""
    # By a query: ``db.get`` would refuse one that changed since it was read, instead of reading it again.
    found = select(Room).where(Room.id == room_id)
    return db.scalar(found.with_for_update().execution_options(populate_existing=True))
