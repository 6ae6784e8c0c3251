"""Every refusal the service can give, as one tree (RFC 9457).

Problem
├── UntrustedHost                400
├── Unauthorized                 401
│   ├── BadCredentials
│   └── BadRefreshToken
├── Forbidden                    403
│   ├── MissingScope
│   ├── NotForKeys
│   └── WrongPassword
├── NotFound                     404
│   ├── NotRegistered
│   ├── UnknownAccount
│   └── UnknownTicket
├── MethodNotAllowed             405
├── Conflict                     409
│   ├── AgendaConflict
│   ├── AlreadyCheckedIn
│   ├── AlreadyOnTeam
│   ├── AlreadyRegistered
│   ├── CapacityBelowConfirmed
│   ├── EmailTaken
│   ├── EventFull
│   ├── IllegalStatusChange
│   ├── LastAdmin
│   ├── NotRegisteredYet
│   ├── RegistrationClosed
│   ├── RequestInProgress
│   ├── RoomInUse
│   ├── RoomNameTaken
│   ├── RoomTaken
│   ├── RoomTooSmall
│   ├── ScheduleConflict
│   ├── SessionFull
│   ├── SessionOutsideEvent
│   ├── SpeakerBusy
│   ├── SpeakerHasSessions
│   ├── TicketCancelled
│   ├── TicketNotConfirmed
│   ├── UnknownSession
│   ├── UnknownSpeaker
│   └── WaitlistNotEmpty
├── PreconditionFailed           412
├── ContentTooLarge              413
├── UnsupportedMediaType         415
├── InvalidRequest               422
│   └── IdempotencyKeyReused
├── TooManyRequests              429
├── InternalError                500
├── Overloaded                   503
└── Unavailable                  503
    ├── NotMigrated
    ├── ReadOnlyDatabase
    └── Stopping

The class gives the status, the title and the slug of ``type``; the instance gives the sentence that a
person can act on and the members that a program can. What each means to a client is in
``docs/problems.md``.
"""

import math
import random
import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

LONGEST_WAIT = 30.0


class Problem(Exception):  # noqa: N818 - these are states to report, not errors of ours
    """Refuse a request for a reason that its sender can act on."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be served"
    default_detail: ClassVar[str] = "Check the request against the API's documentation and send it again."
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        """Say what is wrong and what to do (``detail``), with typed ``members`` for programs."""
        self.detail = detail or self.default_detail
        self.members = members
        super().__init__(self.detail)

    @classmethod
    def slug(cls) -> str:
        """Name the problem as its ``type`` does: ``EventFull`` is ``event-full``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def type_uri(cls) -> str:
        """Return the RFC 9457 ``type``, a relative reference."""
        return f"/problems/{cls.slug()}"

    def document(self) -> dict[str, Any]:
        """Return the problem document, without what only the HTTP layer knows."""
        return {
            "type": self.type_uri(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }


class UntrustedHost(Problem):
    """The Host header names a host that the service does not answer for."""

    title = "Unknown host"
    default_detail = "This service does not answer under that host name. Check the address, or ALLOW_HOSTS."


class Unauthorized(Problem):
    """No token, or one that does not fit an active account."""

    status = 401
    title = "Sign in first"
    default_detail = "Sign in and send the token in the Authorization header, as 'Bearer <token>'."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class BadCredentials(Unauthorized):
    """The address and the password do not open an active account; which of them is not said."""

    title = "Wrong email or password"
    default_detail = "No active account has this email and password. Check both and try again."


class BadRefreshToken(Unauthorized):
    """The refresh token was never given out, has ended, or was used before, which has ended its family."""

    title = "Sign in again"
    default_detail = "The refresh token has ended, or was used before. Sign in with the password again."


class Forbidden(Problem):
    """The account is known and has no right to this."""

    status = 403
    title = "Not allowed"
    default_detail = "Your account has no right to do this. Ask whoever runs the event, or an administrator."


class MissingScope(Forbidden):
    """The API key has none of the scopes that would do; ``scopes`` names them."""

    title = "The API key lacks the scope"
    default_detail = "This API key may not do this: it has none of the scopes named in 'scopes'."

    @classmethod
    def of(cls, scopes: Collection[str]) -> Self:
        """Name the scopes of which one is needed."""
        names = sorted(scopes)
        wanted = " or ".join(f"'{name}'" for name in names)
        return cls(f"This API key lacks the scope {wanted}. Make one that has it.", scopes=names)


class NotForKeys(Forbidden):
    """An API key would change an account, or how it is signed in to."""

    title = "Not for API keys"
    default_detail = "No API key does this. Sign in with the password, and use the token that you get."


class WrongPassword(Forbidden):
    """The current password was missing or wrong."""

    title = "The current password is needed"
    default_detail = "Send your current password in 'current_password' to change the email or the password."


class NotFound(Problem):
    """There is no such thing, or the caller may not know that there is."""

    status = 404
    title = "Not found"
    default_detail = "There is nothing here. Check the address and the id."


class NotRegistered(NotFound):
    """The caller holds no live registration here."""

    title = "Not registered"
    default_detail = "You hold no registration for this event, so there is nothing to cancel."


class UnknownAccount(NotFound):
    """No active account has the address."""

    title = "No such account"
    default_detail = "No active account has this email. Ask the person to sign up first."


class UnknownTicket(NotFound):
    """No ticket of the event has the code."""

    title = "Unknown ticket"
    default_detail = "No ticket of this event has this code. Check the event, or look the person up by name."


class MethodNotAllowed(Problem):
    """The address exists and does not answer this method."""

    status = 405
    title = "Method not allowed"
    default_detail = "This address does not answer this method. The Allow header names those it does."


class Conflict(Problem):
    """The request is well formed and collides with the state of things."""

    status = 409
    title = "In conflict with the present state"
    default_detail = "Something has changed meanwhile. Read the resource again and decide anew."


class AgendaConflict(Conflict):
    """Somebody has a seat in another session at that time; ``conflicts`` names it."""

    title = "Two sessions at once"
    default_detail = (
        "Another session in the agenda is at that time, named in 'conflicts'. Give up one of them."
    )


class AlreadyCheckedIn(Conflict):
    """The registration was used at the door and cannot be cancelled."""

    title = "Already checked in"
    default_detail = "You have been checked in at this event, so the registration can no longer be cancelled."


class AlreadyOnTeam(Conflict):
    """The account is in the event's team, or owns the event."""

    title = "Already on the team"
    default_detail = "This person is on the event's team already. Remove them first to give another role."


class AlreadyRegistered(Conflict):
    """The caller holds a live registration for this event."""

    title = "Already registered"
    default_detail = "You are registered for this event already. See GET /registrations/me."


class CapacityBelowConfirmed(Conflict):
    """The new capacity is less than the places, or the seats, given away."""

    title = "Capacity below what is confirmed"
    default_detail = "More places than that are confirmed. Choose a capacity that holds them all."


class EmailTaken(Conflict):
    """Another account has the address, in whatever case it is written."""

    title = "Email taken"
    default_detail = "An account with this email exists already. Sign in, or use another address."


class EventFull(Conflict):
    """Every place is taken."""

    title = "The event is full"
    default_detail = "Every place of this event is taken. Try again when somebody has cancelled."


class IllegalStatusChange(Conflict):
    """The event cannot go from its status to the one asked for."""

    title = "Illegal status change"
    default_detail = "An event goes from DRAFT to PUBLISHED to FINISHED or CANCELLED, and not back."


class LastAdmin(Conflict):
    """Nobody would be left to administer the service."""

    title = "The last administrator"
    default_detail = "This is the last active administrator. Make another account ADMIN first."


class NotRegisteredYet(Conflict):
    """The caller has no confirmed place at the event, which a seat in one of its sessions needs.

    To a client it is ``NotRegistered``, with the status of a thing that can be put right.
    """

    title = NotRegistered.title
    default_detail = "A seat needs a confirmed place at the event, and you have none. Register for it first."

    @classmethod
    def slug(cls) -> str:
        """Name the problem as the class that it stands for does."""
        return NotRegistered.slug()


class RegistrationClosed(Conflict):
    """The event takes no registrations or cancellations now."""

    title = "Registration is closed"
    default_detail = "This event is not open for registration now."


class RequestInProgress(Conflict):
    """Another request under the same key is still being served."""

    title = "The same request is in progress"
    default_detail = (
        "A request with this Idempotency-Key is being served. Ask again in a moment for its answer."
    )
    headers: Mapping[str, str] = {"Retry-After": "1"}


class RoomInUse(Conflict):
    """Sessions stand in the way of a change to their room; ``sessions`` names them."""

    title = "The room is in use"
    default_detail = "Sessions are planned in this room. Move them first; 'sessions' names them."


class RoomNameTaken(Conflict):
    """The event has a room of that name, in whatever case it is written."""

    title = "Room name taken"
    default_detail = "This event has a room of that name already. Choose another name."


class RoomTaken(Conflict):
    """Another session is in the room at that time; ``conflicts`` names it."""

    title = "The room is taken"
    default_detail = "Another session is in this room at that time. Choose another room or time."


class RoomTooSmall(Conflict):
    """The session has more places than its room."""

    title = "The room is too small"
    default_detail = "The session has more places than the room. Choose a larger room or fewer places."


class ScheduleConflict(Conflict):
    """Sessions cannot be planned like that together; ``conflicts`` names each that stands in the way."""

    title = "The schedule has conflicts"
    default_detail = (
        "These sessions cannot stand like that together; 'conflicts' says why. Nothing was changed."
    )


class SessionFull(Conflict):
    """Every seat of the session is taken."""

    title = "The session is full"
    default_detail = "Every seat of this session is taken. Choose another, or try when somebody gave one up."


class SessionOutsideEvent(Conflict):
    """A session would begin before its event, or end after it."""

    title = "Session outside its event"
    default_detail = "A session has to begin and end within its event. Move the session or widen the event."


class SpeakerBusy(Conflict):
    """A speaker is in another session at that time; ``conflicts`` names it."""

    title = "A speaker is busy"
    default_detail = "A speaker is in another session at that time. Choose another time or speaker."


class SpeakerHasSessions(Conflict):
    """The speaker still speaks somewhere; ``sessions`` names where."""

    title = "The speaker has sessions"
    default_detail = "This speaker is in sessions, named in 'sessions'. Take them off those first."


class TicketCancelled(Conflict):
    """The registration was cancelled, by its owner or with the event."""

    title = "The ticket is cancelled"
    default_detail = "The registration of this ticket was cancelled. The person needs a new registration."


class TicketNotConfirmed(Conflict):
    """The registration is on the waitlist and has no place yet."""

    title = "The ticket is not confirmed"
    default_detail = "This person is on the waitlist and has no place yet. Raise the capacity to let them in."


class UnknownSession(Conflict):
    """A plan named sessions that the event does not have."""

    title = "Unknown session"
    default_detail = "The event has no such sessions; 'session_ids' lists them. Take them out of the plan."


class UnknownSpeaker(Conflict):
    """A session named speakers that do not exist or are not the actor's to name."""

    title = "Unknown speaker"
    default_detail = "Some speakers do not exist or are not yours to name; 'speaker_ids' lists them."


class WaitlistNotEmpty(Conflict):
    """The waitlist cannot be switched off while people are on it."""

    title = "People are waiting"
    default_detail = "People are on the waitlist. Raise the capacity to let them in before switching it off."


class PreconditionFailed(Problem):
    """The thing has been edited since the caller read it."""

    status = 412
    title = "Changed meanwhile"
    default_detail = "Somebody has changed this since you read it. Read it again, and repeat your change."


class ContentTooLarge(Problem):
    """The body is larger than the service takes."""

    status = 413
    title = "The body is too large"
    default_detail = "Send a smaller body."


class UnsupportedMediaType(Problem):
    """The body is of a media type that the route does not read."""

    status = 415
    title = "Unsupported media type"
    default_detail = "Send the body as JSON, with 'Content-Type: application/json'."


class InvalidRequest(Problem):
    """The request is malformed; ``errors`` names each fault as ``{pointer, detail}``."""

    status = 422
    title = "The request is not valid"
    default_detail = "Some fields are not valid. 'errors' names each and says what is wrong."

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        """Name the faults in ``errors``; without them the request as a whole is at fault."""
        whole = {"pointer": "/", "detail": detail or self.default_detail}
        super().__init__(detail, **{"errors": [whole], **members})

    @classmethod
    def at(cls, field: str, detail: str) -> Self:
        """Refuse one field of the body, in the shape that a schema's refusals have."""
        return cls(f"/{field}: {detail}.", errors=[{"pointer": f"/{field}", "detail": detail}])


class IdempotencyKeyReused(InvalidRequest):
    """The key was used for another body."""

    title = "Idempotency key reused"
    default_detail = "This Idempotency-Key was used with another body. Use a new key for a new request."


class TooManyRequests(Problem):
    """A limit is used up; ``limit`` names it, and ``retry_after`` says in how many seconds it is new."""

    status = 429
    title = "Too many requests"
    default_detail = "This was asked for too often. Wait as long as Retry-After says, and try again."
    headers: Mapping[str, str] = {"Retry-After": "1"}

    def __init__(
        self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """Say in ``headers`` when to come back."""
        super().__init__(detail, **members)
        if headers is not None:
            self.headers = headers


class InternalError(Problem):
    """The service failed. Nothing inner is shown; the log has it under the request id."""

    status = 500
    title = "Internal error"
    default_detail = (
        "The service failed and nothing was changed. Try again; if it stays, report the request id."
    )


class Overloaded(Problem):
    """More requests wait than can be served soon."""

    status = 503
    title = "Too busy"
    default_detail = "More requests are waiting than can be served soon. Try again in a moment."

    def __init__(self, detail: str | None = None, *, wait: float = 0.0, **members: Any) -> None:
        """Send the caller away for about ``wait`` seconds, and not everybody for as long."""
        super().__init__(detail, **members)
        # Those who were turned away together would come back together.
        seconds = math.ceil(min(wait, LONGEST_WAIT) * random.uniform(1, 2))  # noqa: S311 - nothing secret
        self.headers = {"Retry-After": str(max(1, seconds))}


class Unavailable(Problem):
    """The database does not answer, or gave up on the transaction."""

    status = 503
    title = "Not available now"
    default_detail = "The database did not answer. Nothing was changed; try again in a moment."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class NotMigrated(Unavailable):
    """The database's schema is not the one that this release needs."""

    title = "The database is not migrated"
    default_detail = "Run 'events migrate', then ask again."


class ReadOnlyDatabase(Unavailable):
    """The database takes no writes: it is a standby, or was set so."""

    title = "The database is read-only"
    default_detail = "The database takes no writes now. Nothing was changed; try again in a moment."


class Stopping(Unavailable):
    """The process was asked to stop, and finishes what it has."""

    title = "Stopping"
    default_detail = "This process is about to stop. Send requests to another one."
