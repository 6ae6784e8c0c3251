"""Keys under which a request was served once and is answered again."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import DIGEST_BYTES, Base


class IdempotencyKey(Base):
    """One served request and its answer, written in the transaction of its effect.

    A key is bound to the account, the method and the path; another of these is another key.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint(f"octet_length(body_digest) = {DIGEST_BYTES}", name="digest_is_sha256"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    method: Mapped[str] = mapped_column(String(8), primary_key=True)
    path: Mapped[str] = mapped_column(String(255), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_digest: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    location: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
