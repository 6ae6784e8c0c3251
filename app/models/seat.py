"""Seats: who has a place in which session."""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

HELD = text("given_up_at IS NULL")


class Seat(Base):
    """One person's seat in one session, never deleted: one that was given up is kept.

    ``event_id`` and ``during`` are copies that a composite foreign key keeps true (ON UPDATE CASCADE), so
    that a session that moves is judged against the agenda of everybody in it. Triggers count the seats into
    ``sessions``, refuse one whose holder has no confirmed registration for the event, and give a seat up
    with the registration or the session that it depends on.
    """

    __tablename__ = "seats"
    __table_args__ = (
        ForeignKeyConstraint(
            ["session_id", "event_id", "during"],
            ["sessions.id", "sessions.event_id", "sessions.during"],
            name="fk_seats_session_id_sessions",
            onupdate="CASCADE",
        ),
        ExcludeConstraint(
            ("user_id", "="),
            ("during", "&&"),
            name="ex_seats_attendee_is_in_one_place",
            using="gist",
            where=HELD,
            deferrable=True,
            initially="IMMEDIATE",
        ),
        Index("uq_seats_held", "session_id", "user_id", unique=True, postgresql_where=HELD),
        Index("ix_seats_held", "user_id", "event_id", postgresql_where=HELD),
        # The cascade looks for all of a session's seats, those given up too.
        Index("ix_seats_session_id_id", "session_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int]
    event_id: Mapped[int]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    given_up_at: Mapped[datetime | None]
