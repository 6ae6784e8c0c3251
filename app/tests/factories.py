"""Rows to begin a test from, written straight to the database."""

import itertools
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from app.core.database import Database
from app.core.security import ApiKeys, Claims, PasswordHasher, RefreshToken, digest_of
from app.models import (
    ApiKey,
    Base,
    CalendarFeed,
    Event,
    Registration,
    Room,
    Seat,
    Session,
    SignIn,
    Speaker,
    TeamMember,
    User,
    event_speakers,
    session_speakers,
)
from app.models.enums import RegistrationStatus, Role, Scope, TeamRole
from app.models.registration import new_ticket_code

PASSWORD = "correct horse battery staple"
_HASH = PasswordHasher().hash(PASSWORD)
_numbers = itertools.count(1)

# The sign-in of an account that is made here can be told from the account's id. No sequence gets so far.
SIGN_IN = 1_000_000_000

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def soon(days: float = 30, hours: float = 0) -> datetime:
    """Return a full hour in the future, in UTC."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now + days * DAY + hours * HOUR


def claims_of(user: User) -> Claims:
    """Say what a token of an account claims that was made here."""
    return user.claims(SIGN_IN + user.id)


Row = TypeVar("Row", bound=Base)


class Factory:
    """Make one row of each kind, with whatever matters to the test named and the rest made up."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def _save(self, row: Row) -> Row:
        self.db.add(row)
        self.db.commit()
        self.db.refresh(row)
        return row

    def user(self, **fields: Any) -> User:
        """Make an account that is signed in; its password is ``PASSWORD``."""
        number = next(_numbers)
        fields = {"email": f"person{number}@example.com", "password_hash": _HASH, **fields}
        user = self._save(User(**fields))
        self.sign_in(user, id=SIGN_IN + user.id)
        return user

    def sign_in(self, user: User, token: RefreshToken | None = None, **fields: Any) -> SignIn:
        """Sign an account in once more; ``token`` is the last of its refresh tokens."""
        token = token or RefreshToken.new()
        fields = {
            "user_id": user.id,
            "token_version": user.token_version,
            "family_digest": token.family_digest,
            "token_digest": token.digest,
            "expires_at": soon(30),
            **fields,
        }
        return self._save(SignIn(**fields))

    def api_key(self, user: User, *scopes: str, **fields: Any) -> tuple[str, ApiKey]:
        """Make a key of an account, of every scope unless some are named, and return it with its row."""
        key = ApiKeys.new(user.id)
        fields = {
            "user_id": user.id,
            "key_digest": digest_of(key),
            "prefix": ApiKeys.shown(key),
            "name": "Key",
            "scopes": list(scopes or Scope),
            **fields,
        }
        return key, self._save(ApiKey(**fields))

    def admin(self, **fields: Any) -> User:
        """Make an administrator."""
        return self.user(role=Role.ADMIN, **fields)

    def event(self, owner: User | None = None, **fields: Any) -> Event:
        """Make an event of three days in a month's time, published, with 100 places."""
        owner = owner or self.user()
        fields = {
            "name": "Event",
            "start_at": soon(30),
            "end_at": soon(33),
            "capacity_total": 100,
            "created_by": owner.id,
            **fields,
        }
        return self._save(Event(**fields))

    def member(self, event: Event, role: TeamRole, user: User | None = None) -> User:
        """Put someone on an event's team."""
        user = user or self.user()
        self._save(TeamMember(event_id=event.id, user_id=user.id, role=role))
        return user

    def room(self, event: Event, **fields: Any) -> Room:
        """Make a room."""
        return self._save(Room(**{"event_id": event.id, "name": f"Room {next(_numbers)}", **fields}))

    def speaker(self, maker: User | None = None, event: Event | None = None, **fields: Any) -> Speaker:
        """Make a speaker, attached to ``event`` if one is given."""
        maker = maker or self.user()
        speaker = self._save(Speaker(**{"full_name": "Speaker", "created_by": maker.id, **fields}))
        if event is not None:
            self.db.execute(event_speakers.insert().values(event_id=event.id, speaker_id=speaker.id))
            self.db.commit()
        return speaker

    def session(
        self, event: Event, *, room: Room | None = None, speakers: tuple[Speaker, ...] = (), **fields: Any
    ) -> Session:
        """Make a session in the first hour of the event."""
        fields = {
            "event_id": event.id,
            "title": "Session",
            "start_at": event.start_at,
            "end_at": event.start_at + HOUR,
            **event.window,
            **Room.copies(room),
            **fields,
        }
        session = self._save(Session(**fields))
        for speaker in speakers:
            link = {"session_id": session.id, "speaker_id": speaker.id, "during": session.during}
            self.db.execute(session_speakers.insert().values(link))
        self.db.commit()
        return session

    def registration(self, event: Event, user: User | None = None, **fields: Any) -> Registration:
        """Make a confirmed registration."""
        user = user or self.user()
        fields = {
            "event_id": event.id,
            "user_id": user.id,
            "status": RegistrationStatus.CONFIRMED,
            "ticket_code": new_ticket_code(),
            **fields,
        }
        return self._save(Registration(**fields))

    def calendar(self, user: User) -> str:
        """Give somebody's calendar an address, and return the token in it."""
        token = f"calendar-of-{user.id}"
        self._save(CalendarFeed(user_id=user.id, token_digest=sha256(token.encode()).digest()))
        return token

    def seat(self, session: Session, user: User | None = None, **fields: Any) -> Seat:
        """Take a seat; without ``user``, for somebody who is registered at the event for it."""
        if user is None:
            user = self.registered(self.db.get_one(Event, session.event_id))
        fields = {
            "session_id": session.id,
            "event_id": session.event_id,
            "user_id": user.id,
            "during": session.during,
            **fields,
        }
        return self._save(Seat(**fields))

    def registered(self, *events: Event) -> User:
        """Make an account with a confirmed registration at each of ``events``."""
        user = self.user()
        for event in events:
            self.registration(event, user)
        return user
