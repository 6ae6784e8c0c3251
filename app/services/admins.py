"""Those who look after the whole service, appointed from the command line."""

from enum import StrEnum

from app import crud
from app.core.database import Database
from app.models import User
from app.models.enums import Role


class Appointment(StrEnum):
    """What came of it."""

    MADE = "made"
    PROMOTED = "promoted"
    UNCHANGED = "unchanged"
    NEEDS_PASSWORD = "needs a password"  # noqa: S105  # a sentence, not a secret


def appoint(db: Database, email: str, password_hash: str | None) -> Appointment:
    """Make an active administrator of the account with that address, or a new account that is one.

    The password of an existing account changes only if one is given; its tokens end with any change.
    """
    found = crud.users.get_by_email(db, email)
    if found is None:
        if password_hash is None:
            return Appointment.NEEDS_PASSWORD
        crud.save(db, User(email=email.lower(), password_hash=password_hash, role=Role.ADMIN))
        return Appointment.MADE
    user = crud.users.lock(db, found.id) or found
    if user.role is Role.ADMIN and user.is_active and password_hash is None:
        return Appointment.UNCHANGED
    crud.users.end_tokens(db, user)
    changes: dict[str, object] = {"role": Role.ADMIN, "is_active": True}
    if password_hash is not None:
        changes["password_hash"] = password_hash
    crud.save(db, user, changes)
    return Appointment.PROMOTED
