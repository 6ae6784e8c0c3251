"""Events, with the counters of their places, which belong to the database."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    String,
    Text,
    TextClause,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship

from app.models.base import Base, Versioned, closed_set, one_of
from app.models.enums import EventStatus
from app.models.session import Session
from app.models.user import User

LARGEST_CAPACITY = 1_000_000

PUBLIC = "status = 'PUBLISHED' AND deleted_at IS NULL"
SEARCHED = {
    "name_words": "words_of(name)",
    "venue_words": "words_of(venue)",
    "description_stems": "stems_of(description)",
}
ALL_WORDS = (
    "((name_words || COALESCE(venue_words, ''::tsvector)) || COALESCE(description_stems, ''::tsvector))"
)

STATUS_CHANGES: dict[EventStatus, frozenset[EventStatus]] = {
    EventStatus.DRAFT: frozenset({EventStatus.PUBLISHED, EventStatus.CANCELLED}),
    EventStatus.PUBLISHED: frozenset({EventStatus.DRAFT, EventStatus.FINISHED, EventStatus.CANCELLED}),
    EventStatus.FINISHED: frozenset(),
    EventStatus.CANCELLED: frozenset(),
}


def _public(name: str, *columns: str | TextClause, using: str = "btree") -> Index:
    """Index what all may see."""
    # Without its list of what is still to be filed, which every search would have to read through.
    options: dict[str, Any] = {"postgresql_with": {"fastupdate": "off"}} if using == "gin" else {}
    return Index(
        f"ix_events_public_{name}", *columns, postgresql_where=text(PUBLIC), postgresql_using=using, **options
    )


class Window(Protocol):
    """What decides whether an event takes registrations: an event, or just these of its columns."""

    status: EventStatus
    end_at: datetime
    registration_opens_at: datetime | None
    registration_closes_at: datetime | None


def takes_registrations(event: Window, now: datetime) -> bool:
    """Tell whether registration for ``event`` is open at ``now``."""
    return (
        event.status is EventStatus.PUBLISHED
        and now < event.end_at
        and (event.registration_opens_at is None or event.registration_opens_at <= now)
        and (event.registration_closes_at is None or now < event.registration_closes_at)
    )


class Event(Versioned, Base):
    """Something people register for.

    ``confirmed_count`` and ``waitlist_count`` are kept by triggers on ``registrations`` and refuse to be
    written by hand; the CHECK on the first is what makes overselling impossible. ``is_live`` is what
    sessions copy, so that a cancelled or deleted event blocks no room and no speaker. ``has_places`` is what
    indexes look at: unlike the counter it changes only when the last place goes, so that a sale touches none
    of them. What is in ``SEARCHED`` stands in the table and is never read.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("end_at > start_at", name="ends_after_start"),
        CheckConstraint(f"capacity_total BETWEEN 1 AND {LARGEST_CAPACITY}", name="capacity_in_range"),
        CheckConstraint(
            "confirmed_count BETWEEN 0 AND capacity_total",
            name="confirmed_within_capacity",
        ),
        CheckConstraint("waitlist_count >= 0", name="waitlist_not_negative"),
        CheckConstraint(
            "registration_closes_at > registration_opens_at",
            name="registration_closes_after_opening",
        ),
        CheckConstraint("name <> ''", name="has_a_name"),
        CheckConstraint(one_of("status", EventStatus), name="status_is_known"),
        # What sessions refer to: moving or ending the event reaches them through the foreign key.
        UniqueConstraint("id", "is_live", "start_at", "end_at"),
        *(
            Column(name, TSVECTOR, Computed(expression, persisted=True), nullable=name != "name_words")
            for name, expression in SEARCHED.items()
        ),
        _public("by_start", "start_at", "id"),
        _public("by_name", "name", "id"),
        _public("by_creation", "created_at", "id"),
        _public("by_organizer", "created_by", "start_at", "id"),
        _public("by_places", "has_places", "start_at", "id"),
        _public("during", text("tstzrange(start_at, end_at)"), using="gist"),
        _public("name_words", "name_words", using="gin"),
        _public("venue_words", "venue_words", using="gin"),
        _public("description_stems", "description_stems", using="gin"),
        _public("all_words", text(ALL_WORDS), using="gin"),
        Index("ix_events_created_by", "created_by", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    guid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    venue: Mapped[str | None] = mapped_column(String(255))
    start_at: Mapped[datetime]
    end_at: Mapped[datetime]
    timezone: Mapped[str] = mapped_column(String(64), server_default="UTC", default="UTC")
    capacity_total: Mapped[int]
    confirmed_count: Mapped[int] = mapped_column(server_default=text("0"))
    waitlist_count: Mapped[int] = mapped_column(server_default=text("0"))
    waitlist_enabled: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    status: Mapped[EventStatus] = mapped_column(
        closed_set(EventStatus),
        server_default=EventStatus.PUBLISHED,
        default=EventStatus.PUBLISHED,
    )
    registration_opens_at: Mapped[datetime | None]
    registration_closes_at: Mapped[datetime | None]
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    deleted_at: Mapped[datetime | None]
    has_places: Mapped[bool] = mapped_column(Computed("confirmed_count < capacity_total", persisted=True))
    is_live: Mapped[bool] = mapped_column(
        Computed("status <> 'CANCELLED' AND deleted_at IS NULL", persisted=True)
    )

    owner: Mapped[User] = relationship(lazy="raise")
    sessions: Mapped[list[Session]] = relationship(
        primaryjoin="and_(Event.id == foreign(Session.event_id), Session.deleted_at.is_(None))",
        order_by="Session.start_at, Session.id",
        lazy="raise",
        viewonly=True,
    )

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - as SQLAlchemy has it
        """Leave out of the object what only searches look at."""
        return {**super().__mapper_args__, "exclude_properties": list(SEARCHED)}

    @property
    def capacity_available(self) -> int:
        """Count the places left."""
        return self.capacity_total - self.confirmed_count

    @property
    def window(self) -> dict[str, Any]:
        """Return what a session copies of its event."""
        return {
            "event_is_live": self.is_live,
            "event_start_at": self.start_at,
            "event_end_at": self.end_at,
        }

    @property
    def is_public(self) -> bool:
        """Tell whether all may see it; a draft is its team's alone."""
        return self.status is not EventStatus.DRAFT

    def may_become(self, status: EventStatus) -> bool:
        """Tell whether the event may go to ``status`` from where it stands."""
        return status is self.status or status in STATUS_CHANGES[self.status]
