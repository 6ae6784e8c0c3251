"""What the service does: decide, combine, refuse."""

from app.services import (
    auth,
    events,
    health,
    registrations,
    rooms,
    sessions,
    speakers,
    teams,
    users,
)

__all__ = [
    "auth",
    "events",
    "health",
    "registrations",
    "rooms",
    "sessions",
    "speakers",
    "teams",
    "users",
]
