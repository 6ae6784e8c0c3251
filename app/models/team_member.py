"""The people who help to run an event."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, closed_set
from app.models.enums import TeamRole
from app.models.user import User


class TeamMember(Base):
    """One person's part in one event. The owner is no row here: it is who created the event."""

    __tablename__ = "team_members"
    __table_args__ = (
        CheckConstraint("role IN ('MANAGER', 'STAFF')", name="role_is_known"),
        Index("ix_team_members_user_id", "user_id", "event_id"),
    )

    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[TeamRole] = mapped_column(closed_set(TeamRole))
    added_at: Mapped[datetime] = mapped_column(server_default=func.now())

    user: Mapped[User] = relationship(lazy="raise")
