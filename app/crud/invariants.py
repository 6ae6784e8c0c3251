"""What must never be so, each as one query that returns no row in a sound database.

They count rows anew and read no counter and no copy but to compare it, so that a constraint or a trigger
that was lost shows too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import DateTime, Integer, Select, Subquery, Text, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.orm import aliased

from app.core.database import Database
from app.models import (
    AuditEntry,
    Event,
    EventCount,
    EventWord,
    IdempotencyKey,
    Registration,
    Room,
    Seat,
    Session,
    User,
    session_speakers,
)
from app.models.enums import AuditEntity, EventStatus, RegistrationStatus
from app.models.room import UNLIMITED


@dataclass(frozen=True, slots=True)
class Invariant:
    """Name one rule, say what a row that breaks it means, and ask for the ids of such rows."""

    name: str
    meaning: str
    broken: Select[Any]


_OTHER_SESSION = aliased(Session, name="other_session")
_OTHER = aliased(Registration, name="other")
_OTHER_LINK = session_speakers.alias("other_link")
_OTHER_SEAT = aliased(Seat, name="other_seat")

_LIVE = Registration.status != RegistrationStatus.CANCELLED
_HELD = Session.deleted_at.is_(None)
_SEATED = Seat.given_up_at.is_(None)


def _count(status: RegistrationStatus) -> Any:
    counted = select(func.count()).where(Registration.event_id == Event.id, Registration.status == status)
    return counted.correlate(Event).scalar_subquery()


_CONFIRMED = _count(RegistrationStatus.CONFIRMED)
_WAITLISTED = _count(RegistrationStatus.WAITLISTED)

_SEATS_TAKEN = (
    select(func.count()).where(Seat.session_id == Session.id, _SEATED).correlate(Session).scalar_subquery()
)

_SHARES_TIME = and_(
    _OTHER_SESSION.start_at < Session.end_at,
    _OTHER_SESSION.end_at > Session.start_at,
    _OTHER_SESSION.deleted_at.is_(None),
    _HELD,
)


def _goes_on(session: type[Session]) -> Any:
    return exists().where(
        Event.id == session.event_id, Event.status != EventStatus.CANCELLED, Event.deleted_at.is_(None)
    )


_MADE = cast(cast(func.convert_from(IdempotencyKey.body, "UTF8"), JSONB)["id"].astext, Integer)


def _forgotten(path: str, effect: Any) -> Select[Any]:
    kept = IdempotencyKey.method == "POST", IdempotencyKey.status == 201  # noqa: PLR2004 - Created
    return select(_MADE.label("id")).where(
        *kept, IdempotencyKey.path.regexp_match(path), ~exists().where(effect)
    )


def _told(entity: AuditEntity, field: str) -> Subquery:
    """Read, for each thing that the log tells ``field`` of, what it told last."""
    tells = or_(AuditEntry.after.has_key(field), AuditEntry.after.is_(None))
    last = select(AuditEntry.entity_id, AuditEntry.after[field].astext.label("value"))
    told = last.where(AuditEntry.entity == entity, tells).ext(distinct_on(AuditEntry.entity_id))
    return told.order_by(AuditEntry.entity_id, AuditEntry.id.desc()).subquery()


_PUBLIC_EVENTS = (
    select(func.count())
    .where(Event.status == EventStatus.PUBLISHED, Event.deleted_at.is_(None))
    .scalar_subquery()
)
_OWN_WORD = func.unnest(func.tsvector_to_array(Event.__table__.c.name_words)).column_valued("own_word")
_ROLE, _ACTIVE = _told(AuditEntity.USER, "role"), _told(AuditEntity.USER, "is_active")
_CHECK_IN = _told(AuditEntity.CHECK_IN, "checked_in_at")

INVARIANTS: Sequence[Invariant] = (
    Invariant(
        "oversold",
        "more registrations are confirmed than the event has places",
        select(Event.id).where(Event.capacity_total < _CONFIRMED),
    ),
    Invariant(
        "confirmed-miscounted",
        "the event's counter of confirmed registrations is not their number",
        select(Event.id).where(Event.confirmed_count != _CONFIRMED),
    ),
    Invariant(
        "waitlist-miscounted",
        "the event's counter of people waiting is not their number",
        select(Event.id).where(Event.waitlist_count != _WAITLISTED),
    ),
    Invariant(
        "place-left-empty",
        "a place at the event is free while somebody with a right to it waits",
        select(Event.id).where(
            Event.status == EventStatus.PUBLISHED,
            Event.deleted_at.is_(None),
            Event.end_at > func.now(),
            Event.capacity_total > _CONFIRMED,
            _WAITLISTED > 0,
        ),
    ),
    Invariant(
        "waitlist-passed",
        "the registration waits although a later one of the same event is confirmed",
        select(Registration.id).where(
            Registration.status == RegistrationStatus.WAITLISTED,
            exists().where(
                _OTHER.event_id == Registration.event_id,
                _OTHER.id > Registration.id,
                _OTHER.status == RegistrationStatus.CONFIRMED,
            ),
        ),
    ),
    Invariant(
        "waitlist-not-offered",
        "the registration waits at an event that has no waitlist",
        select(Registration.id)
        .join(Registration.event)
        .where(Registration.status == RegistrationStatus.WAITLISTED, Event.waitlist_enabled.is_(False)),
    ),
    Invariant(
        "registered-twice",
        "the same person has an earlier live registration at the same event",
        select(Registration.id).where(
            _LIVE,
            exists().where(
                _OTHER.event_id == Registration.event_id,
                _OTHER.user_id == Registration.user_id,
                _OTHER.id < Registration.id,
                _OTHER.status != RegistrationStatus.CANCELLED,
            ),
        ),
    ),
    Invariant(
        "registered-at-nothing",
        "the registration is live although its event is a draft, cancelled or deleted",
        select(Registration.id)
        .join(Registration.event)
        .where(
            _LIVE,
            or_(
                Event.status.in_([EventStatus.DRAFT, EventStatus.CANCELLED]),
                Event.deleted_at.is_not(None),
            ),
        ),
    ),
    Invariant(
        "event-ends-early",
        "the event ends before it starts",
        select(Event.id).where(Event.end_at <= Event.start_at),
    ),
    Invariant(
        "public-events-miscounted",
        "the counters of public events, together, are not the number of those",
        select(func.coalesce(func.min(EventCount.shard), 0).label("shard")).having(
            func.coalesce(func.sum(EventCount.published), 0) != _PUBLIC_EVENTS
        ),
    ),
    Invariant(
        "word-not-known",
        "a word of the event's name is not among those that searches know",
        select(Event.id).where(
            exists(select(_OWN_WORD).where(~exists().where(EventWord.word == _OWN_WORD)).correlate(Event))
        ),
    ),
    Invariant(
        "session-ends-early",
        "the session ends before it starts",
        select(Session.id).where(Session.end_at <= Session.start_at),
    ),
    Invariant(
        "session-outside-event",
        "the session is not within its event's time",
        select(Session.id)
        .join(Event, Event.id == Session.event_id)
        .where(_HELD, or_(Session.start_at < Event.start_at, Session.end_at > Event.end_at)),
    ),
    Invariant(
        "session-event-copy",
        "what the session copies of its event is not what the event says",
        select(Session.id)
        .outerjoin(Event, Event.id == Session.event_id)
        .where(
            func.row(Session.event_is_live, Session.event_start_at, Session.event_end_at).is_distinct_from(
                func.row(
                    and_(Event.status != EventStatus.CANCELLED, Event.deleted_at.is_(None)),
                    Event.start_at,
                    Event.end_at,
                )
            )
        ),
    ),
    Invariant(
        "session-room-copy",
        "what the session copies of its room is not what the room says, or the room is another event's",
        select(Session.id)
        .outerjoin(Room, Room.id == Session.room_id)
        .where(
            Session.room_id.is_not(None),
            func.row(Session.event_id, Session.room_parallel, Session.room_seats).is_distinct_from(
                func.row(Room.event_id, Room.allow_parallel, func.coalesce(Room.capacity, UNLIMITED))
            ),
        ),
    ),
    Invariant(
        "room-too-small",
        "the session has more places than its room",
        select(Session.id)
        .join(Room, Room.id == Session.room_id)
        .where(_HELD, Session.own_capacity > Room.capacity),
    ),
    Invariant(
        "room-taken-twice",
        "the session is in its room while another one is, and the room allows one at a time",
        select(Session.id)
        .join(Room, and_(Room.id == Session.room_id, Room.allow_parallel.is_(False)))
        .join(
            _OTHER_SESSION,
            and_(_OTHER_SESSION.room_id == Session.room_id, _OTHER_SESSION.id < Session.id, _SHARES_TIME),
        )
        .where(_goes_on(Session), _goes_on(_OTHER_SESSION))
        .distinct(),
    ),
    Invariant(
        "speaker-in-two-places",
        "somebody speaks in the session while speaking in another one",
        select(Session.id)
        .join(session_speakers, session_speakers.c.session_id == Session.id)
        .join(_OTHER_LINK, _OTHER_LINK.c.speaker_id == session_speakers.c.speaker_id)
        .join(
            _OTHER_SESSION,
            and_(_OTHER_SESSION.id == _OTHER_LINK.c.session_id, _OTHER_SESSION.id < Session.id, _SHARES_TIME),
        )
        .where(_goes_on(Session), _goes_on(_OTHER_SESSION))
        .distinct(),
    ),
    Invariant(
        "speaker-time-copy",
        "the time kept with somebody who speaks in the session is not the session's",
        select(session_speakers.c.session_id)
        .outerjoin(Session, Session.id == session_speakers.c.session_id)
        .where(session_speakers.c.during.is_distinct_from(Session.during))
        .distinct(),
    ),
    Invariant(
        "session-oversold",
        "more seats are taken in the session than it has places, or its room where it says no number",
        select(Session.id)
        .outerjoin(Room, Room.id == Session.room_id)
        .where(_HELD, func.coalesce(Session.own_capacity, Room.capacity) < _SEATS_TAKEN),
    ),
    Invariant(
        "seats-miscounted",
        "the session's counter of seats is not the number of those held",
        select(Session.id).where(Session.seats_taken != _SEATS_TAKEN),
    ),
    Invariant(
        "seat-without-place",
        "somebody holds the seat without a confirmed registration for its event",
        select(Seat.id).where(
            _SEATED,
            ~exists().where(
                Registration.user_id == Seat.user_id,
                Registration.event_id == Seat.event_id,
                Registration.status == RegistrationStatus.CONFIRMED,
            ),
        ),
    ),
    Invariant(
        "seat-in-nothing",
        "the seat is held although its session is deleted",
        select(Seat.id)
        .join(Session, Session.id == Seat.session_id)
        .where(_SEATED, Session.deleted_at.is_not(None)),
    ),
    Invariant(
        "attendee-in-two-places",
        "the seat's holder holds an earlier one at the same time",
        select(Seat.id)
        .join(Session, Session.id == Seat.session_id)
        .join(_OTHER_SEAT, and_(_OTHER_SEAT.user_id == Seat.user_id, _OTHER_SEAT.id < Seat.id))
        .join(_OTHER_SESSION, and_(_OTHER_SESSION.id == _OTHER_SEAT.session_id, _SHARES_TIME))
        .where(_SEATED, _OTHER_SEAT.given_up_at.is_(None), _goes_on(Session), _goes_on(_OTHER_SESSION))
        .distinct(),
    ),
    Invariant(
        "seat-session-copy",
        "what the seat copies of its session, the event and the time, is not what the session says",
        select(Seat.id)
        .outerjoin(Session, Session.id == Seat.session_id)
        .where(
            func.row(Seat.event_id, Seat.during).is_distinct_from(func.row(Session.event_id, Session.during))
        ),
    ),
    Invariant(
        "key-without-registration",
        "a key remembers the registration as made, and there is none of this person's",
        _forgotten(
            "/registrations/events/[0-9]+$",
            and_(Registration.id == _MADE, Registration.user_id == IdempotencyKey.user_id),
        ),
    ),
    Invariant(
        "key-without-seat",
        "a key remembers the seat as taken, and there is none of this person's",
        _forgotten(
            "/registrations/sessions/[0-9]+$",
            and_(Seat.id == _MADE, Seat.user_id == IdempotencyKey.user_id),
        ),
    ),
    Invariant(
        "key-without-event",
        "a key remembers the event as made, and there is none of this person's",
        _forgotten("/events$", and_(Event.id == _MADE, Event.created_by == IdempotencyKey.user_id)),
    ),
    Invariant(
        "role-unlogged",
        "the account's role, or whether it is active, is not what the log of changes told last",
        select(User.id)
        .outerjoin(_ROLE, _ROLE.c.entity_id == User.id)
        .outerjoin(_ACTIVE, _ACTIVE.c.entity_id == User.id)
        .where(or_(_ROLE.c.value != User.role, _ACTIVE.c.value != cast(User.is_active, Text))),
    ),
    Invariant(
        "check-in-unlogged",
        "the registration was checked in, or was not, otherwise than the log of changes told last",
        select(Registration.id)
        .join(_CHECK_IN, _CHECK_IN.c.entity_id == Registration.id)
        .where(cast(_CHECK_IN.c.value, DateTime(timezone=True)).is_distinct_from(Registration.checked_in_at)),
    ),
)


def find_broken(db: Database, invariant: Invariant, limit: int) -> tuple[int, list[int]]:
    """Count the rows that break a rule, and return the ids of up to ``limit`` of them."""
    broken = invariant.broken.subquery()
    key = broken.c[0]
    found = db.execute(select(key, func.count().over()).order_by(key).limit(limit)).all()
    return (found[0][1] if found else 0), [row[0] for row in found]
