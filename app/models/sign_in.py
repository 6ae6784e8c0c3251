"""Where people are signed in."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import DIGEST_BYTES, Base


class SignIn(Base):
    """One device on which somebody is signed in: a family of refresh tokens, of which the last one is good.

    Only digests of them are kept. ``token_version`` is the account's at the time; once that has moved on, the
    sign-in is over, whoever moved it. One that was ended is deleted. To clients it is a session, which here
    is a talk.
    """

    __tablename__ = "sign_ins"
    __table_args__ = (
        CheckConstraint(f"octet_length(family_digest) = {DIGEST_BYTES}", name="family_digest_is_sha256"),
        CheckConstraint(f"octet_length(token_digest) = {DIGEST_BYTES}", name="token_digest_is_sha256"),
        CheckConstraint("created_at <= last_used_at AND last_used_at < expires_at", name="times_in_order"),
        Index("ix_sign_ins_user_id", "user_id"),
        Index("ix_sign_ins_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_version: Mapped[int]
    family_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    token_digest: Mapped[bytes] = mapped_column(LargeBinary)
    user_agent: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
