"""Who may do what: one policy per action, asked by every service that offers the action.

``can_…`` answers, ``ensure_…`` refuses: with 403 where all may see the thing, with 404 where only those
who run it may know that it is there.
"""

from collections.abc import Sequence

from app.core.database import Database
from app.core.exceptions import Forbidden, NotFound
from app.core.settings import EventCreators
from app.crud import sessions, speakers, teams
from app.models import Event, Registration, Session, Speaker, User
from app.models.enums import Role, TeamRole


def can_create_event(user: User, creators: EventCreators) -> bool:
    """Anyone may, unless the service is set to organisers only."""
    return creators is EventCreators.ANYONE or user.role in {Role.ADMIN, Role.ORGANIZER}


def can_own_event(user: User, event: Event) -> bool:
    """Whoever made the event may do everything with it, and so may administrators."""
    return event.created_by == user.id or user.role is Role.ADMIN


def can_edit_event(db: Database, user: User, event: Event) -> bool:
    """The owner may, and the managers of the event's team."""
    return can_own_event(user, event) or teams.get_role(db, event.id, user.id) is TeamRole.MANAGER


def can_staff_event(db: Database, user: User, event: Event) -> bool:
    """The whole team may see what is not public, the attendees, and check them in."""
    return can_own_event(user, event) or teams.get_role(db, event.id, user.id) is not None


def can_see_event(db: Database, viewer: User | None, event: Event) -> bool:
    """All may see an event that is no draft; a draft is its team's alone."""
    return event.is_public or (viewer is not None and can_staff_event(db, viewer, event))


def can_edit_speaker(user: User, speaker: Speaker) -> bool:
    """Whoever made the entry may, and administrators."""
    return speaker.created_by == user.id or user.role is Role.ADMIN


def can_see_speaker(db: Database, viewer: User | None, speaker: Speaker) -> bool:
    """All may see who is in a public event; others are seen by who made them and who runs their events."""
    if speakers.exists_in_public_event(db, speaker.id):
        return True
    if viewer is None:
        return False
    return can_edit_speaker(viewer, speaker) or speakers.exists_in_event_run_by(db, speaker.id, viewer.id)


def can_see_registration(db: Database, viewer: User, registration: Registration, event: Event | None) -> bool:
    """Whose it is may, and those who run the event."""
    if registration.user_id == viewer.id:
        return True
    return event is not None and can_staff_event(db, viewer, event)


def list_visible_sessions(db: Database, user: User, some: Sequence[Session]) -> set[int]:
    """Name which of the sessions someone may see, wherever they are."""
    ids = [session.id for session in some]
    return set(ids) if user.role is Role.ADMIN else sessions.list_visible(db, ids, user.id)


def ensure_can_create_event(user: User, creators: EventCreators) -> None:
    """Refuse those who may not create events."""
    if not can_create_event(user, creators):
        raise Forbidden("Only organisers create events here. Ask an administrator to make you one.")


def ensure_can_see_event(db: Database, viewer: User | None, event: Event | None) -> Event:
    """Return the event to those who may know of it."""
    if event is None or not can_see_event(db, viewer, event):
        raise NotFound("There is no such event. Check the id.")
    return event


def ensure_can_staff_event(db: Database, user: User, event: Event | None) -> Event:
    """Return the event to those who run it."""
    if event is not None and can_staff_event(db, user, event):
        return event
    return _refuse(db, user, event, "Only the people who run this event may do this.")


def ensure_can_edit_event(db: Database, user: User, event: Event | None) -> Event:
    """Return the event to its owner and managers."""
    if event is not None and can_edit_event(db, user, event):
        return event
    return _refuse(db, user, event, "Only the event's owner and its managers may do this.")


def ensure_can_own_event(db: Database, user: User, event: Event | None) -> Event:
    """Return the event to its owner."""
    if event is not None and can_own_event(user, event):
        return event
    return _refuse(db, user, event, "Only the event's owner may do this.")


def ensure_can_audit_event(db: Database, user: User, event: Event | None) -> Event:
    """Return the event to its owner and managers, and one that is deleted to its owner."""
    if event is None or event.deleted_at is None:
        return ensure_can_edit_event(db, user, event)
    if not can_own_event(user, event):
        raise NotFound("There is no such event. Check the id.")
    return event


def ensure_can_see_speaker(db: Database, viewer: User | None, speaker: Speaker | None) -> Speaker:
    """Return the speaker to those who may know of them."""
    if speaker is None or not can_see_speaker(db, viewer, speaker):
        raise NotFound("There is no such speaker. Check the id.")
    return speaker


def ensure_can_edit_speaker(db: Database, user: User, speaker: Speaker | None) -> Speaker:
    """Return the speaker to who made the entry."""
    speaker = ensure_can_see_speaker(db, user, speaker)
    if not can_edit_speaker(user, speaker):
        raise Forbidden("Only who made this speaker may change or delete them.")
    return speaker


def ensure_is_admin(user: User) -> None:
    """Refuse everybody but administrators."""
    if user.role is not Role.ADMIN:
        raise Forbidden("Only administrators may do this.")


def _refuse(db: Database, user: User, event: Event | None, message: str) -> Event:
    ensure_can_see_event(db, user, event)
    raise Forbidden(message)
