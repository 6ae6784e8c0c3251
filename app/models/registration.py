"""Registrations: who has a place at which event."""

import secrets
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    case,
    func,
    select,
    text,
)
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column, relationship

from app.models.base import Base, closed_set, one_of
from app.models.enums import RegistrationStatus
from app.models.event import Event
from app.models.user import User

TICKET_BYTES = 16


def new_ticket_code() -> str:
    """Make a code that nobody can guess: 128 random bits, 22 URL-safe characters."""
    return secrets.token_urlsafe(TICKET_BYTES)


class Registration(Base):
    """One person's claim to a place at one event, never deleted: a cancelled one stays as it was.

    Triggers on this table keep the counters of ``events``. Ids are given out while the event's row is
    locked, so within one event their order is the order of acceptance, which a waitlist is served in.
    """

    __tablename__ = "registrations"
    __table_args__ = (
        CheckConstraint(one_of("status", RegistrationStatus), name="status_is_known"),
        Index(
            "uq_registrations_live",
            "event_id",
            "user_id",
            unique=True,
            postgresql_where=text("status <> 'CANCELLED'"),
        ),
        Index("ix_registrations_event_id_id", "event_id", "id"),
        Index("ix_registrations_user_id_id", "user_id", "id"),
        Index(
            "ix_registrations_waitlist",
            "event_id",
            "id",
            postgresql_where=text("status = 'WAITLISTED'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    status: Mapped[RegistrationStatus] = mapped_column(closed_set(RegistrationStatus))
    ticket_code: Mapped[str] = mapped_column(String(32), unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancelled_at: Mapped[datetime | None]
    checked_in_at: Mapped[datetime | None]

    event: Mapped[Event] = relationship(lazy="raise")
    user: Mapped[User] = relationship(lazy="raise")

    if TYPE_CHECKING:
        waitlist_position: Mapped[int | None]


_ahead = aliased(Registration, name="ahead")

# Counted at each read, so that no promotion ever has to renumber those who still wait.
Registration.waitlist_position = column_property(
    case(
        (
            Registration.status == RegistrationStatus.WAITLISTED,
            select(func.count())
            .where(
                _ahead.event_id == Registration.event_id,
                _ahead.status == RegistrationStatus.WAITLISTED,
                _ahead.id <= Registration.id,
            )
            .correlate_except(_ahead)
            .scalar_subquery(),
        )
    )
)
