"""The people who run an event."""

from app import crud
from app.core.database import Database
from app.core.exceptions import AlreadyOnTeam, NotFound, UnknownAccount
from app.models import TeamMember, User
from app.models.enums import TeamRole
from app.policies import ensure_can_own_event, ensure_can_staff_event
from app.schemas.teams import TeamMemberCreate, TeamMemberRead


def list_members(db: Database, actor: User, event_id: int) -> list[TeamMemberRead]:
    """Return who runs an event, its owner first."""
    event = ensure_can_staff_event(db, actor, crud.events.get_with_owner(db, event_id))
    owner = _member(event.owner, TeamMember(role=TeamRole.OWNER, added_at=event.created_at))
    return [
        owner,
        *(_member(entry.user, entry) for entry in crud.teams.list_members(db, event_id)),
    ]


def add_member(db: Database, actor: User, event_id: int, command: TeamMemberCreate) -> TeamMemberRead:
    """Give someone with an account a part in running an event.

    Raises:
        UnknownAccount: no active account has the address.
        AlreadyOnTeam: they own the event or are on its team.

    """
    event = ensure_can_own_event(db, actor, crud.events.get(db, event_id))
    user = crud.users.get_by_email(db, command.email)
    if user is None or not user.is_active:
        raise UnknownAccount
    if user.id == event.created_by or crud.teams.get_member(db, event_id, user.id):
        raise AlreadyOnTeam
    entry = TeamMember(event_id=event_id, user_id=user.id, role=command.role)
    return _member(user, crud.save(db, entry))


def remove_member(db: Database, actor: User, event_id: int, user_id: int) -> None:
    """Take someone off an event's team; the owner is not on it to be taken off."""
    ensure_can_own_event(db, actor, crud.events.get(db, event_id))
    entry = crud.teams.get_member(db, event_id, user_id)
    if entry is None:
        raise NotFound("This person is not on the event's team, so there is nobody to remove.")
    crud.remove(db, entry)


def _member(user: User, entry: TeamMember) -> TeamMemberRead:
    return TeamMemberRead(
        user_id=user.id,
        email=user.email,
        full_name=user.full_name,
        role=entry.role,
        added_at=entry.added_at,
    )
