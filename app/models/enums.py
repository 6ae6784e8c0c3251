"""The closed sets of the domain, as they stand in the database and in the contract."""

from enum import StrEnum


class Role(StrEnum):
    """What an account may do beyond its own events."""

    ADMIN = "ADMIN"
    ORGANIZER = "ORGANIZER"
    ATTENDEE = "ATTENDEE"


class Scope(StrEnum):
    """What an API key may be used for, within what its account may do."""

    READ = "read"
    WRITE = "write"
    CHECK_IN = "check-in"


class EventStatus(StrEnum):
    """Where an event stands."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    CANCELLED = "CANCELLED"
    FINISHED = "FINISHED"


class TeamRole(StrEnum):
    """What a member of an event's team may do; there is one owner, who made the event."""

    OWNER = "OWNER"
    MANAGER = "MANAGER"
    STAFF = "STAFF"


class RegistrationStatus(StrEnum):
    """What a registration is worth."""

    CONFIRMED = "CONFIRMED"
    WAITLISTED = "WAITLISTED"
    CANCELLED = "CANCELLED"


class Verdict(StrEnum):
    """What came of a scan at the door."""

    CHECKED_IN = "checked-in"
    ALREADY_CHECKED_IN = "already-checked-in"
    UNKNOWN_TICKET = "unknown-ticket"
    TICKET_CANCELLED = "ticket-cancelled"
    TICKET_NOT_CONFIRMED = "ticket-not-confirmed"


class AuditAction(StrEnum):
    """What was done to something."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class AuditEntity(StrEnum):
    """What the log of changes tells of."""

    EVENT = "event"
    SESSION = "session"
    SPEAKER = "speaker"
    ROOM = "room"
    TEAM_MEMBER = "team_member"
    USER = "user"
    CHECK_IN = "check_in"
