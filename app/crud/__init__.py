"""Every question to the database: what all entities share, and a module for what is peculiar to each."""

from app.crud import (
    admissions,
    calendars,
    check_ins,
    events,
    idempotency,
    moves,
    openings,
    registrations,
    rooms,
    schedules,
    seeds,
    sessions,
    speakers,
    teams,
    users,
)
from app.crud.records import get, remove, save, soft_delete, try_save

__all__ = [
    "admissions",
    "calendars",
    "check_ins",
    "events",
    "get",
    "idempotency",
    "moves",
    "openings",
    "registrations",
    "remove",
    "rooms",
    "save",
    "schedules",
    "seeds",
    "sessions",
    "soft_delete",
    "speakers",
    "teams",
    "try_save",
    "users",
]
