"""What the service does: decide, combine, refuse."""

from app.services import (
    admins,
    auth,
    check_ins,
    events,
    health,
    idempotency,
    registrations,
    rooms,
    seats,
    seeds,
    sessions,
    speakers,
    teams,
    users,
)

__all__ = [
    "admins",
    "auth",
    "check_ins",
    "events",
    "health",
    "idempotency",
    "registrations",
    "rooms",
    "seats",
    "seeds",
    "sessions",
    "speakers",
    "teams",
    "users",
]
