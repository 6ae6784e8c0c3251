"""Every question to the database: what all entities share, and a module for what is peculiar to each."""

from app.crud import (
    admissions,
    check_ins,
    events,
    idempotency,
    listings,
    registrations,
    rooms,
    seeds,
    sessions,
    speakers,
    teams,
    users,
)
from app.crud.records import get, remove, save, soft_delete, try_save

__all__ = [
    "admissions",
    "check_ins",
    "events",
    "get",
    "idempotency",
    "listings",
    "registrations",
    "remove",
    "rooms",
    "save",
    "seeds",
    "sessions",
    "soft_delete",
    "speakers",
    "teams",
    "try_save",
    "users",
]
