"""Sessions of an event: its talks and workshops. In this domain a session is never a database session."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, Versioned
from app.models.room import UNLIMITED, Room
from app.models.speaker import Speaker

if TYPE_CHECKING:
    from app.models.event import Event

session_speakers = Table(
    "session_speakers",
    Base.metadata,
    Column("session_id", Integer, primary_key=True),
    Column("speaker_id", Integer, ForeignKey("speakers.id"), primary_key=True),
    Column("during", TSTZRANGE, nullable=False),
    # Moving, ending or deleting a session reaches its speakers here, and the exclusion judges it again.
    ForeignKeyConstraint(
        ["session_id", "during"],
        ["sessions.id", "sessions.during"],
        name="fk_session_speakers_session_id_sessions",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    ExcludeConstraint(
        ("speaker_id", "="),
        ("during", "&&"),
        name="ex_session_speakers_speaker_is_in_one_place",
        using="gist",
        deferrable=True,
        initially="IMMEDIATE",
    ),
)
"""Who speaks in which session, and when: one speaker, one place at a time, across all events."""

Index(
    "ix_session_speakers_session_id_during",
    session_speakers.c.session_id,
    session_speakers.c.during,
)


class Session(Versioned, Base):
    """A talk or a workshop, inside its event, in at most one room.

    The ``event_…`` and ``room_…`` columns are copies that composite foreign keys keep true (ON UPDATE
    CASCADE), so that what spans two tables is a CHECK or an exclusion on one. ``during`` is half-open
    (a session may start the moment another ends) and empty once the session or its event is off.
    ``seats_taken`` is kept by triggers on ``seats`` and refuses to be written by hand; one that is deleted
    gives up its seats.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("end_at > start_at", name="ends_after_start"),
        CheckConstraint("title <> ''", name="has_a_title"),
        CheckConstraint("capacity_total > 0", name="capacity_is_positive"),
        CheckConstraint(
            "deleted_at IS NOT NULL OR (start_at >= event_start_at AND end_at <= event_end_at)",
            name="inside_its_event",
        ),
        CheckConstraint(
            "deleted_at IS NOT NULL OR capacity_total <= room_seats",
            name="fits_in_its_room",
        ),
        CheckConstraint(
            "num_nulls(room_id, room_parallel, room_seats) IN (0, 3)",
            name="room_is_whole",
        ),
        CheckConstraint(
            "seats_taken >= 0"
            " AND (deleted_at IS NOT NULL OR seats_taken <= COALESCE(capacity_total, room_seats))",
            name="seats_within_capacity",
        ),
        ForeignKeyConstraint(
            ["event_id", "event_is_live", "event_start_at", "event_end_at"],
            ["events.id", "events.is_live", "events.start_at", "events.end_at"],
            name="fk_sessions_event_id_events",
            onupdate="CASCADE",
        ),
        ForeignKeyConstraint(
            ["room_id", "event_id", "room_parallel", "room_seats"],
            ["rooms.id", "rooms.event_id", "rooms.allow_parallel", "rooms.seats"],
            name="fk_sessions_room_id_rooms",
            onupdate="CASCADE",
        ),
        UniqueConstraint("event_id", "guid"),
        # What speakers and seats refer to: moving or ending the session reaches them through the foreign key.
        UniqueConstraint("id", "during"),
        UniqueConstraint("id", "event_id", "during"),
        ExcludeConstraint(
            ("room_id", "="),
            ("during", "&&"),
            name="ex_sessions_room_holds_one_session",
            using="gist",
            where=text("NOT room_parallel"),
            deferrable=True,
            initially="IMMEDIATE",
        ),
        Index("ix_sessions_event_id_start_at", "event_id", "start_at"),
        Index("ix_sessions_room_id", "room_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    guid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    event_id: Mapped[int]
    event_is_live: Mapped[bool]
    event_start_at: Mapped[datetime]
    event_end_at: Mapped[datetime]
    title: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    start_at: Mapped[datetime]
    end_at: Mapped[datetime]
    room_id: Mapped[int | None]
    room_parallel: Mapped[bool | None]
    room_seats: Mapped[int | None]
    own_capacity: Mapped[int | None] = mapped_column("capacity_total")
    seats_taken: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    deleted_at: Mapped[datetime | None]
    during: Mapped[Range[datetime]] = mapped_column(
        TSTZRANGE,
        Computed(
            "CASE WHEN deleted_at IS NULL AND event_is_live AND end_at > start_at"
            " THEN tstzrange(start_at, end_at, '[)') ELSE 'empty'::tstzrange END",
            persisted=True,
        ),
    )

    event: Mapped["Event"] = relationship(
        primaryjoin="foreign(Session.event_id) == Event.id", lazy="raise", viewonly=True
    )
    place: Mapped[Room | None] = relationship(
        primaryjoin="foreign(Session.room_id) == Room.id", lazy="raise", viewonly=True
    )
    speakers: Mapped[list[Speaker]] = relationship(
        secondary=session_speakers,
        primaryjoin="Session.id == session_speakers.c.session_id",
        order_by="Speaker.full_name, Speaker.id",
        lazy="raise",
        viewonly=True,
    )

    @property
    def room(self) -> str | None:
        """Name the room as it is called today."""
        return self.place.name if self.place else None

    @property
    def speaker_ids(self) -> list[int]:
        """Name who speaks."""
        return [speaker.id for speaker in self.speakers]

    @property
    def capacity_total(self) -> int | None:
        """Count the places: its own number, else its room's, else None for no limit."""
        if self.own_capacity is None and self.room_seats != UNLIMITED:
            return self.room_seats
        return self.own_capacity

    @property
    def capacity_available(self) -> int | None:
        """Count the places left, or None for no limit."""
        return None if self.capacity_total is None else self.capacity_total - self.seats_taken
