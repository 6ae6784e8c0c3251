"""What the service does: decide, combine, refuse."""

from app.services import (
    admins,
    auth,
    events,
    health,
    registrations,
    rooms,
    seeds,
    sessions,
    speakers,
    teams,
    users,
)

__all__ = [
    "admins",
    "auth",
    "events",
    "health",
    "registrations",
    "rooms",
    "seeds",
    "sessions",
    "speakers",
    "teams",
    "users",
]
