"""Accounts."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.security import Claims
from app.models.base import Base, Versioned, closed_set, one_of
from app.models.enums import Role


class User(Versioned, Base):
    """Someone with an account; the address is kept in lower case."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_is_lower_case"),
        CheckConstraint(one_of("role", Role), name="role_is_known"),
        # For the rule that one active administrator always stays.
        Index(
            "ix_users_active_admins",
            "id",
            postgresql_where=text("role = 'ADMIN' AND is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    full_name: Mapped[str | None] = mapped_column(String(255))
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[Role] = mapped_column(closed_set(Role), server_default=Role.ATTENDEE, default=Role.ATTENDEE)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    token_version: Mapped[int] = mapped_column(server_default=text("1"), default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    def claims(self, sign_in_id: int) -> Claims:
        """Say what a token of this account claims that belongs to a sign-in."""
        return Claims(uid=self.id, sub=self.email, ver=self.token_version, sid=sign_in_id)
