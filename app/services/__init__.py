"""What the service does: decide, combine, refuse."""

from app.services import (
    admins,
    auth,
    calendars,
    check_ins,
    events,
    health,
    idempotency,
    moves,
    registrations,
    rooms,
    schedules,
    seeds,
    sessions,
    speakers,
    teams,
    users,
)

__all__ = [
    "admins",
    "auth",
    "calendars",
    "check_ins",
    "events",
    "health",
    "idempotency",
    "moves",
    "registrations",
    "rooms",
    "schedules",
    "seeds",
    "sessions",
    "speakers",
    "teams",
    "users",
]
