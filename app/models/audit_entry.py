"""The log of changes: who changed what when, from where, old and new."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, closed_set, one_of
from app.models.enums import AuditAction, AuditEntity
from app.models.user import User


class AuditEntry(Base):
    """One change, written by a trigger on what was changed, and never changed or deleted itself.

    ``before`` and ``after`` hold what changed, or the row that was made or deleted. It refers to nothing by
    a foreign key: it outlasts what it tells of, and locks nothing. Without an ``actor_id`` it was no
    request that wrote; ``database_role`` says who was connected.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        CheckConstraint(one_of("action", AuditAction), name="action_is_known"),
        CheckConstraint(one_of("entity", AuditEntity), name="entity_is_known"),
        # In the order in which each list is read, backwards.
        Index("ix_audit_entries_at_id", "at", "id"),
        Index("ix_audit_entries_event_id_at_id", "event_id", "at", "id"),
        Index("ix_audit_entries_entity_entity_id_at_id", "entity", "entity_id", "at", "id"),
        Index("ix_audit_entries_actor_id_at_id", "actor_id", "at", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_id: Mapped[int | None]
    action: Mapped[AuditAction] = mapped_column(closed_set(AuditAction))
    entity: Mapped[AuditEntity] = mapped_column(closed_set(AuditEntity))
    entity_id: Mapped[int]
    event_id: Mapped[int | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    ip: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    database_role: Mapped[str] = mapped_column(Text)

    actor: Mapped[User | None] = relationship(
        primaryjoin="foreign(AuditEntry.actor_id) == User.id", lazy="raise", viewonly=True
    )
