"""Accounts: one's own, and all of them for administrators."""

from app import crud
from app.core.conditional import WHATEVER, Expected
from app.core.database import Database
from app.core.exceptions import EmailTaken, LastAdmin, NotFound, WrongPassword
from app.core.pagination import Slice
from app.core.security import Device, ProvenPassword, RefreshToken
from app.models import User
from app.models.enums import Role
from app.policies import ensure_is_admin
from app.schemas.auth import Token
from app.schemas.users import (
    OwnAccountRead,
    OwnAccountUpdate,
    UserQuery,
    UserRead,
    UserUpdate,
)


def read_own(_: Database, actor: User) -> User:
    """Return one's own account."""
    return actor


def update_own(  # noqa: PLR0913, PLR0917 - each is a part of the request
    db: Database,
    actor: User,
    command: OwnAccountUpdate,
    proof: ProvenPassword,
    device: Device,
    expected: Expected = WHATEVER,
) -> OwnAccountRead:
    """Change one's own account; a new email or password ends every session and begins a new one.

    API keys go on: they are secrets of their own, known by name, and end one by one.

    Raises:
        PreconditionFailed: the account is not the one expected any more.
        WrongPassword: the email or the password would change without the current password.
        EmailTaken: another account has the address.

    """
    changes = command.model_dump(exclude_unset=True, include={"full_name", "email"})
    user = crud.users.lock(db, actor.id)
    if user is None:
        raise NotFound
    expected.ensure(user.version)
    moves = changes.get("email", user.email) != user.email
    sensitive = moves or "password" in command.model_fields_set
    if sensitive and not proof.opens(user.password_hash):
        raise WrongPassword
    if moves and crud.users.get_by_email(db, changes["email"]):
        raise EmailTaken
    if proof.new_hash is not None:
        changes["password_hash"] = proof.new_hash
    if sensitive:
        crud.users.end_tokens(db, user)
    crud.save(db, user, changes)
    token = None
    if sensitive:
        first = RefreshToken.new()
        sign_in = crud.sign_ins.add(db, user, device, first)
        token = Token.issued(device.tokens, user.claims(sign_in.id), first)
    return OwnAccountRead(**UserRead.model_validate(user).model_dump(), version=user.version, token=token)


def list_accounts(db: Database, actor: User, wanted: UserQuery) -> Slice[User]:
    """Return one page of all accounts, to administrators."""
    ensure_is_admin(actor)
    return crud.users.page_all(db, wanted.paging, search=wanted.search, role=wanted.role)


def update_account(
    db: Database, actor: User, user_id: int, command: UserUpdate, expected: Expected = WHATEVER
) -> User:
    """Give an account another role, or switch it off or on; its sessions end with the change.

    The API keys of one that is switched off end too, for good. Those of one with another role may do what
    that role may.

    Raises:
        PreconditionFailed: the account is not the one expected any more.
        LastAdmin: no active administrator would be left.

    """
    ensure_is_admin(actor)
    admins = crud.users.lock_active_admins(db)
    user = crud.users.lock(db, user_id)
    if user is None:
        raise NotFound("There is no such account. Check the id.")
    expected.ensure(user.version)
    changes = command.model_dump(exclude_unset=True)
    stays_admin = changes.get("role", user.role) is Role.ADMIN and changes.get("is_active", user.is_active)
    if admins == [user.id] and not stays_admin:
        raise LastAdmin
    if any(getattr(user, name) != value for name, value in changes.items()):
        crud.users.end_tokens(db, user)
    if not changes.get("is_active", True):
        crud.api_keys.end_all(db, user.id)
    return crud.save(db, user, changes)
