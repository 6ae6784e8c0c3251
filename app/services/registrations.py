"""Registrations: a place at an event, taken and given back."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from io import BytesIO

import segno

from app import crud
from app.batches import Hall
from app.core.database import Database
from app.core.exceptions import (
    AlreadyCheckedIn,
    AlreadyRegistered,
    EventFull,
    NotFound,
    NotRegistered,
    Problem,
    RegistrationClosed,
)
from app.core.exports import Export
from app.core.pagination import Slice
from app.crud.admissions import Admitted, Doors
from app.models import Event, Registration, User
from app.models.enums import EventStatus, RegistrationStatus
from app.models.event import takes_registrations
from app.models.registration import new_ticket_code
from app.policies import can_see_registration, ensure_can_staff_event
from app.schemas.registrations import (
    Application,
    AttendeeQuery,
    OwnRegistrationQuery,
    RegistrationMade,
)

ROWS_AT_ONCE = 500


def admit(
    db: Database, applications: Sequence[Application], *, wait: bool = True
) -> list[RegistrationMade | Problem]:
    """Decide in the order of arrival who gets a place, who waits, and who is refused why.

    Takes any number of applications for any number of events, in a number of statements that depends on
    neither. Applications of one person, or under one key, are decided as if they had come one after the
    other. Returns, in the same order, the registration made (or made before, under the same key) or one of
    ``Unauthorized``, ``MissingScope``, ``NotFound``, ``RegistrationClosed``, ``AlreadyRegistered``,
    ``EventFull`` and ``IdempotencyKeyReused``; without ``wait``, ``Overloaded`` for an event that somebody
    holds.
    """
    # The events first: whoever shares one waits here, and then sees all that was done under its lock.
    wanted = {application.wanted_id for application in applications}
    doors, now = crud.admissions.lock_doors(db, wanted, wait=wait)
    pairs = {(application.wanted_id, application.claims.uid) for application in applications}
    hall = _Hall(
        waited=wait,
        fitting=crud.credentials.map_fitting(db, {application.claims for application in applications}),
        doors=doors,
        now=now,
        registered=crud.admissions.list_live(db, pairs),
        staff=_staff_of_drafts(db, doors, pairs),
    )
    return hall.serve(db, applications)


def _staff_of_drafts(
    db: Database, doors: Mapping[int, Doors], pairs: Collection[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return which of the pairs are a draft and somebody who may know of it."""
    drafts = {pair for pair in pairs if pair[0] in doors and doors[pair[0]].status is EventStatus.DRAFT}
    return crud.teams.list_staff(db, drafts)


@dataclass
class _Hall(Hall[Admitted, RegistrationMade]):
    """The doors of events, and who came through."""

    doors: Mapping[int, Doors]
    now: datetime | None
    registered: set[tuple[int, int]]
    staff: set[tuple[int, int]]
    taken: Counter[int] = field(default_factory=Counter)
    queued: Counter[int] = field(default_factory=Counter)
    positions: dict[str, int] = field(default_factory=dict)

    def decide(self, application: Application) -> Admitted | Problem:
        """Decide on one application, knowing what was decided before it."""
        pair = (application.wanted_id, application.claims.uid)
        event = self.doors.get(application.wanted_id)
        if (
            event is None
            or self.now is None
            or (event.status is EventStatus.DRAFT and pair not in self.staff)
        ):
            return self.missing("There is no such event. Check the id.")
        if not takes_registrations(event, self.now):
            return RegistrationClosed()
        if pair in self.registered:
            return AlreadyRegistered()
        waiting = event.waiting + self.queued[event.id]
        # Nobody passes those who wait, even while a place is free.
        if waiting == 0 and self.taken[event.id] < event.free:
            self.taken[event.id] += 1
            status = RegistrationStatus.CONFIRMED
        elif event.waitlist_enabled:
            self.queued[event.id] += 1
            status = RegistrationStatus.WAITLISTED
        else:
            return EventFull()
        self.registered.add(pair)
        entry = Admitted(*pair, status, new_ticket_code())
        if status is RegistrationStatus.WAITLISTED:
            self.positions[entry.ticket_code] = waiting + 1
        return entry

    def write(self, db: Database, entries: Sequence[Admitted]) -> list[RegistrationMade]:
        """Write the registrations and describe each."""
        written = crud.admissions.add_all(db, entries)
        overlaps = crud.admissions.map_overlaps(db, [key for key, _ in written])
        return [
            RegistrationMade(
                id=key,
                event_id=entry.event_id,
                user_id=entry.user_id,
                status=entry.status,
                waitlist_position=self.positions.get(entry.ticket_code),
                ticket_code=entry.ticket_code,
                created_at=created_at,
                checked_in_at=None,
                overlaps=overlaps.get(key, []),
            )
            for entry, (key, created_at) in zip(entries, written, strict=True)
        ]

    def read(self, body: bytes) -> RegistrationMade:
        """Read a registration that was made before."""
        return RegistrationMade.model_validate_json(body)


def cancel(db: Database, actor: User, event_id: int) -> None:
    """Give a place back; the head of the waitlist gets it in the same transaction.

    Raises:
        NotRegistered: there is no live registration to cancel.
        RegistrationClosed: the event is over.
        AlreadyCheckedIn: the place has been used.

    """
    found = crud.events.lock_for_admission(db, event_id)
    registration = crud.registrations.lock_live(db, event_id, actor.id)
    if found is None or registration is None:
        raise NotRegistered
    event, now = found
    if event.status is EventStatus.FINISHED or now >= event.end_at:
        raise RegistrationClosed("The event is over, so its registrations stay as they are.")
    if registration.checked_in_at is not None:
        raise AlreadyCheckedIn
    crud.registrations.mark_cancelled(db, registration)
    crud.registrations.promote(db, event_id)


def read(db: Database, viewer: User, registration_id: int) -> Registration:
    """Return a registration to whose it is and to those who run the event."""
    registration = crud.get(db, Registration, registration_id)
    if registration is not None:
        event = crud.get(db, Event, registration.event_id)
        if can_see_registration(db, viewer, registration, event):
            return registration
    raise NotFound("There is no such registration of yours. Check the id.")


def draw_ticket(db: Database, viewer: User, registration_id: int) -> bytes:
    """Return a ticket's code as a QR code, an SVG image, to whose it is and to those who run the event.

    A cancelled or waiting registration has one too: what it is worth is decided at the door.
    """
    registration = read(db, viewer, registration_id)
    image = BytesIO()
    # On white, or a page with a dark background makes it unreadable.
    segno.make_qr(registration.ticket_code, error="q").save(image, kind="svg", scale=8, light="white")
    return image.getvalue()


def list_own(db: Database, actor: User, wanted: OwnRegistrationQuery) -> Slice[Registration]:
    """Return one page of one's own registrations, newest first."""
    return crud.registrations.page_of_user(db, actor.id, wanted.paging, status=wanted.status)


def list_all_own(db: Database, actor: User) -> list[Registration]:
    """Return all of one's own registrations, newest first."""
    return crud.registrations.list_of_user(db, actor.id)


def list_attendees(db: Database, actor: User, event_id: int, wanted: AttendeeQuery) -> Slice[Registration]:
    """Return one page of an event's registrations, to those who run it."""
    ensure_can_staff_event(db, actor, crud.events.get(db, event_id))
    return crud.registrations.page_of_event(
        db, event_id, wanted.paging, status=wanted.status, search=wanted.search
    )


def export_attendees(db: Database, actor: User, event_id: int) -> Export:
    """Return all of an event's registrations as a table to download, to those who run it."""
    event = ensure_can_staff_event(db, actor, crud.events.get(db, event_id))
    return Export(
        filename=f"registrations-{event.id}.csv",
        columns=(
            "id",
            "status",
            "email",
            "full_name",
            "ticket_code",
            "created_at",
            "checked_in_at",
        ),
        after=partial(_rows_after, event_id=event.id),
    )


def _rows_after(db: Database, last_id: int, *, event_id: int) -> list[tuple[int, Sequence[object]]]:
    return [
        (
            entry.id,
            (
                entry.id,
                entry.status,
                entry.user.email,
                entry.user.full_name,
                entry.ticket_code,
                entry.created_at,
                entry.checked_in_at,
            ),
        )
        for entry in crud.registrations.list_after(db, event_id, last_id, ROWS_AT_ONCE)
    ]
