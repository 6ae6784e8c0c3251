"""The secret addresses at which people's calendars are read."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import DIGEST_BYTES, Base


class CalendarFeed(Base):
    """One person's one address; of its token only the SHA-256 is kept, so that nobody can read it here."""

    __tablename__ = "calendar_feeds"
    __table_args__ = (
        CheckConstraint(f"octet_length(token_digest) = {DIGEST_BYTES}", name="digest_is_sha256"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    token_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
