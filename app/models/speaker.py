"""Speakers, and the line-ups of the events they are attached to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Versioned

event_speakers = Table(
    "event_speakers",
    Base.metadata,
    Column("event_id", Integer, ForeignKey("events.id"), primary_key=True),
    Column(
        "speaker_id",
        Integer,
        ForeignKey("speakers.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Index("ix_event_speakers_speaker_id", "speaker_id"),
)
"""Who is attached to which event, with a session there or without one yet."""


class Speaker(Versioned, Base):
    """Someone who speaks; kept by the account that made the entry and used again in its other events."""

    __tablename__ = "speakers"
    __table_args__ = (
        CheckConstraint("full_name <> ''", name="has_a_name"),
        Index("ix_speakers_created_by", "created_by", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    guid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    full_name: Mapped[str] = mapped_column(String(255))
    headline: Mapped[str | None] = mapped_column(String(255))
    bio: Mapped[str | None] = mapped_column(Text)
    company: Mapped[str | None] = mapped_column(String(255))
    photo_url: Mapped[str | None] = mapped_column(String(2048))
    links: Mapped[list[str]] = mapped_column(ARRAY(String(2048)), server_default=text("'{}'"))
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
