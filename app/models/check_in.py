"""Scans of tickets at the door of an event, and what came of each."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, closed_set, one_of
from app.models.enums import Verdict
from app.models.registration import Registration
from app.models.user import User


class Scan(Base):
    """One scan and its verdict as it was on arrival, refused ones too; written once and never changed.

    The first scan of a ticket to arrive is its check-in, and there is one only, whoever scans. The time of
    the check-in is that of the earliest scan, so ``checked_in_at``, what was answered, is never after it.
    """

    __tablename__ = "scans"
    __table_args__ = (
        CheckConstraint(one_of("verdict", Verdict), name="verdict_is_known"),
        CheckConstraint(
            f"(registration_id IS NULL) = (verdict = '{Verdict.UNKNOWN_TICKET}')",
            name="known_ticket_has_a_registration",
        ),
        CheckConstraint(
            "(checked_in_at IS NOT NULL) ="
            f" (verdict IN ('{Verdict.CHECKED_IN}', '{Verdict.ALREADY_CHECKED_IN}'))",
            name="verdict_says_who_is_in",
        ),
        CheckConstraint("checked_in_at <= scanned_at", name="earliest_scan_is_the_check_in"),
        # An account's own: nobody can take the name of a colleague's scan, by chance or on purpose.
        UniqueConstraint("event_id", "scanned_by", "client_id"),
        Index(
            "uq_scans_check_in",
            "registration_id",
            unique=True,
            postgresql_where=text(f"verdict = '{Verdict.CHECKED_IN}'"),
        ),
        Index("ix_scans_event_id_id", "event_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"))
    registration_id: Mapped[int | None] = mapped_column(ForeignKey("registrations.id"))
    ticket_code: Mapped[str] = mapped_column(String(1_000))
    verdict: Mapped[Verdict] = mapped_column(closed_set(Verdict, length=32))
    scanned_at: Mapped[datetime]
    checked_in_at: Mapped[datetime | None]
    client_id: Mapped[str | None] = mapped_column(String(100))
    scanned_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())

    registration: Mapped[Registration | None] = relationship(lazy="raise")
    scanner: Mapped[User] = relationship(lazy="raise")

    @property
    def user(self) -> User | None:
        """Return whose ticket it is, once the registration and its account are loaded."""
        return self.registration.user if self.registration else None
