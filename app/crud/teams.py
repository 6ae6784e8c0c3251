"""Questions about those who run an event."""

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app.core.database import Database
from app.models import TeamMember
from app.models.enums import TeamRole


def get_role(db: Database, event_id: int, user_id: int) -> TeamRole | None:
    """Return what someone is in an event's team, the owner aside."""
    return db.scalar(
        select(TeamMember.role).where(TeamMember.event_id == event_id, TeamMember.user_id == user_id)
    )


def get_member(db: Database, event_id: int, user_id: int) -> TeamMember | None:
    """Return someone's part in an event's team."""
    return db.get(TeamMember, (event_id, user_id))


def list_members(db: Database, event_id: int) -> list[TeamMember]:
    """Return the team with its accounts, in the order in which they joined, the owner aside."""
    query = select(TeamMember).where(TeamMember.event_id == event_id)
    ordered = query.order_by(TeamMember.added_at, TeamMember.user_id)
    return list(db.scalars(ordered.options(selectinload(TeamMember.user))))
