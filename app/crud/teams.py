"""Questions about those who run an event."""

from collections.abc import Collection

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.orm import selectinload

from app.core.database import Database
from app.models import Event, TeamMember, User
from app.models.enums import Role, TeamRole


def get_role(db: Database, event_id: int, user_id: int) -> TeamRole | None:
    """Return what someone is in an event's team, the owner aside."""
    return db.scalar(
        select(TeamMember.role).where(TeamMember.event_id == event_id, TeamMember.user_id == user_id)
    )


def list_staff(db: Database, pairs: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which of the pairs of event and user are an event and one of those who run it."""
    if not pairs:
        return set()
    query = (
        select(Event.id, User.id)
        .join(User, tuple_(Event.id, User.id).in_(pairs))
        .outerjoin(TeamMember, and_(TeamMember.event_id == Event.id, TeamMember.user_id == User.id))
        .where(
            or_(
                Event.created_by == User.id,
                User.role == Role.ADMIN,
                TeamMember.role.is_not(None),
            )
        )
    )
    return {(event_id, user_id) for event_id, user_id in db.execute(query)}


def get_member(db: Database, event_id: int, user_id: int) -> TeamMember | None:
    """Return someone's part in an event's team."""
    return db.get(TeamMember, (event_id, user_id))


def list_members(db: Database, event_id: int) -> list[TeamMember]:
    """Return the team with its accounts, in the order in which they joined, the owner aside."""
    query = select(TeamMember).where(TeamMember.event_id == event_id)
    ordered = query.order_by(TeamMember.added_at, TeamMember.user_id)
    return list(db.scalars(ordered.options(selectinload(TeamMember.user))))
