"""Calendars: an event's for all, and one's own under a secret address."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from app import crud
from app.core import ical
from app.core.database import Database
from app.core.documents import Document
from app.core.exceptions import NotFound
from app.core.ical import Calendar, Entry, EntryStatus
from app.core.security import digest_of, new_secret
from app.models import Event, Registration, Session, User
from app.models.enums import EventStatus, RegistrationStatus
from app.policies import ensure_can_see_event
from app.schemas.calendars import CalendarFeedRead

DOMAIN = "mis-eventos"

# How far a registration has come. It never goes back, and a new one begins anew: the sum only grows.
STEPS = {
    RegistrationStatus.WAITLISTED: 1,
    RegistrationStatus.CONFIRMED: 2,
    RegistrationStatus.CANCELLED: 3,
}


def of_event(db: Database, viewer: User | None, event_id: int) -> Document:
    """Return an event's calendar, to all; that of a draft to its team only.

    What was deleted stays in it as cancelled, so that those who subscribed are told. The event as a whole
    is an entry while it has no sessions, which say more.
    """
    event = ensure_can_see_event(db, viewer, crud.get(db, Event, event_id))
    sessions = crud.calendars.list_sessions(db, event_id)
    entries = [_session_entry(event, session) for session in sessions]
    if all(session.deleted_at is not None for session in sessions):
        entries.append(_event_entry(event))
    return ical.document(Calendar(event.name, entries))


def open_feed(db: Database, actor: User, address: Callable[..., str]) -> CalendarFeedRead:
    """Make a secret address for one's own calendar, which ends the one before.

    Of its token only a digest is stored, so this is the one time that it can be told.
    """
    token = new_secret()
    feed = crud.calendars.put_feed(db, actor.id, digest_of(token))
    return CalendarFeedRead(url=address("read_calendar", token=token), created_at=feed.created_at)


def of_owner(db: Database, token: str) -> Document:
    """Return the calendar of whoever was given ``token``: their sessions, and the events they go to."""
    owner = crud.calendars.get_owner(db, digest_of(token))
    if owner is None:
        raise NotFound("There is no such calendar. Its address may have been replaced by a newer one.")
    entries = [
        *_events_of(crud.calendars.list_registrations(db, owner.id)),
        *_sessions_of(crud.calendars.list_seated(db, owner.id)),
    ]
    return ical.document(Calendar("Mis Eventos", entries), private=True)


def _event_entry(event: Event) -> Entry:
    return Entry(
        uid=f"{event.guid}@{DOMAIN}",
        sequence=event.version - 1,
        changed_at=event.updated_at,
        start_at=event.start_at,
        end_at=event.end_at,
        zone=event.timezone,
        status=_status(event),
        summary=event.name,
        location=event.venue or "",
        description=event.description or "",
    )


def _session_entry(event: Event, session: Session) -> Entry:
    speakers = ", ".join(speaker.full_name for speaker in session.speakers)
    return Entry(
        uid=f"{session.guid}@{DOMAIN}",
        # Both only grow, and one of them does with whatever is shown here.
        sequence=event.version + session.version - 2,
        changed_at=max(event.updated_at, session.updated_at),
        start_at=session.start_at,
        end_at=session.end_at,
        zone=event.timezone,
        status=_status(event) if session.deleted_at is None else EntryStatus.CANCELLED,
        summary=session.title,
        location=", ".join(filter(None, (session.room, event.venue))),
        description="\n\n".join(filter(None, (speakers, session.description))),
    )


def _status(event: Event) -> EntryStatus:
    if not event.is_live:
        return EntryStatus.CANCELLED
    return EntryStatus.TENTATIVE if event.status is EventStatus.DRAFT else EntryStatus.CONFIRMED


def _events_of(registrations: Sequence[Registration]) -> Iterator[Entry]:
    """Yield an entry for each event, by the last of somebody's registrations there."""
    last = {entry.event_id: entry for entry in registrations}
    steps: Counter[int] = Counter()
    for entry in registrations:
        steps[entry.event_id] += STEPS[entry.status]
    for event_id, registration in last.items():
        shown = _event_entry(registration.event)
        if registration.status is RegistrationStatus.CANCELLED:
            status = EntryStatus.CANCELLED
        elif registration.status is RegistrationStatus.WAITLISTED:
            status = EntryStatus.TENTATIVE
        else:
            status = shown.status
        yield replace(shown, status=status, sequence=shown.sequence + steps[event_id] - 1)


def _sessions_of(seated: Sequence[crud.calendars.Seated]) -> Iterator[Entry]:
    """Yield an entry for each session, as cancelled if the seat was given up."""
    known: set[str] = set()
    for session, event, held, changes in seated:
        shown = _session_entry(event, session)
        # The schedule of one event may have been taken into another, and two entries are not to be one.
        uid = f"{session.guid}-{event.id}@{DOMAIN}" if shown.uid in known else shown.uid
        known.add(uid)
        status = shown.status if held else EntryStatus.CANCELLED
        yield replace(shown, uid=uid, status=status, sequence=shown.sequence + changes - 1)
