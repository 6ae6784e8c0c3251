"""Rooms of an event."""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Versioned

UNLIMITED = 2_147_483_647


class Room(Versioned, Base):
    """A place where sessions are held; one at a time unless it allows parallel ones.

    ``seats`` is the capacity, or ``UNLIMITED`` where none is stated: sessions copy it through their
    foreign key, in which a null would switch the check off.
    """

    __tablename__ = "rooms"
    __table_args__ = (
        CheckConstraint("name <> ''", name="has_a_name"),
        CheckConstraint("capacity > 0", name="capacity_is_positive"),
        UniqueConstraint("id", "event_id", "allow_parallel", "seats"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"))
    name: Mapped[str] = mapped_column(String(100))
    capacity: Mapped[int | None]
    allow_parallel: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    seats: Mapped[int] = mapped_column(Computed(f"COALESCE(capacity, {UNLIMITED})", persisted=True))

    @staticmethod
    def copies(room: "Room | None") -> dict[str, Any]:
        """Return what a session copies of its room, or of having none."""
        if room is None:
            return {"room_id": None, "room_parallel": None, "room_seats": None}
        return {
            "room_id": room.id,
            "room_parallel": room.allow_parallel,
            "room_seats": room.seats,
        }


Index("uq_rooms_event_id_name", Room.event_id, func.lower(Room.name), unique=True)
