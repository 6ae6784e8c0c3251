"""Keys with which scripts call in somebody's name."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, LargeBinary, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import DIGEST_BYTES, Base
from app.models.enums import Scope

KNOWN_SCOPES = ", ".join(repr(str(scope)) for scope in Scope)


class ApiKey(Base):
    """One key. Its SHA-256 is kept, and as much of its beginning as its owner knows it by.

    One that was ended is deleted.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(f"octet_length(key_digest) = {DIGEST_BYTES}", name="digest_is_sha256"),
        CheckConstraint(
            f"scopes <@ ARRAY[{KNOWN_SCOPES}]::varchar[] AND cardinality(scopes) > 0",
            name="scopes_are_known",
        ),
        CheckConstraint("name <> ''", name="has_a_name"),
        CheckConstraint("expires_at > created_at", name="ends_after_it_was_made"),
        Index("ix_api_keys_user_id", "user_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    prefix: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(16)))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
