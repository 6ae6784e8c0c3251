"""Passwords, hashed and checked before the request's transaction begins, on threads of their own."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import MISSING, ValidationError

from app import crud
from app.core.exceptions import BadCredentials, InvalidRequest
from app.core.passwords import is_about
from app.core.security import Hashing, ProvenPassword
from app.crud import users
from app.dependencies.auth import PersonalClaims
from app.dependencies.database import StoreOfApp
from app.dependencies.rate_limits import Attempts
from app.models import User
from app.schemas.auth import AccountCreate, Credentials
from app.schemas.fields import TOO_PERSONAL
from app.schemas.users import OwnAccountUpdate


async def hashing(request: Request) -> Hashing:
    """Hand over what hashes."""
    found: Hashing = request.app.state.hashing
    return found


AppHashing = Annotated[Hashing, Depends(hashing)]


async def hashed_password(command: AccountCreate, hashing: AppHashing) -> str:
    """Hash the password of a new account."""
    return await hashing.hash(command.password)


@dataclass(frozen=True, slots=True)
class Opened:
    """An account that has shown its password, and a newer hash of that, if it has one of an earlier day."""

    account: User
    renewed_hash: str | None


async def signed_in(
    command: Credentials, store: StoreOfApp, hashing: AppHashing, attempts: Attempts
) -> Opened:
    """Return the account that the credentials open; the answer takes as long when there is none."""
    await attempts.begin(command.email)
    user = await store.look(partial(users.get_by_email, email=command.email))
    stored = user.password_hash if user is not None and user.is_active else None
    fits = await hashing.verify(command.password, stored)
    if user is None or not fits:
        raise BadCredentials
    await attempts.end(command.email)
    return Opened(user, await hashing.renewed(command.password, user.password_hash))


class PasswordForm(OAuth2PasswordRequestForm):
    """The OAuth2 password form, with an example that works when pressed."""

    def __init__(
        self,
        username: Annotated[str, Form(description="The email.", examples=["ana@example.com"])],
        password: Annotated[
            str, Form(json_schema_extra={"format": "password"}, examples=["correct horse battery"])
        ],
        grant_type: Annotated[str | None, Form(pattern="^password$", examples=["password"])] = None,
    ) -> None:
        """Take the fields that matter here; a client's id and secret are accepted and have no effect."""
        super().__init__(username=username, password=password, grant_type=grant_type)


async def signed_in_by_form(
    form: Annotated[PasswordForm, Depends()],
    store: StoreOfApp,
    hashing: AppHashing,
    attempts: Attempts,
) -> Opened:
    """Return the account that an OAuth2 password form opens; its ``username`` is the email."""
    try:
        command = Credentials(email=form.username, password=form.password)
    except ValidationError:
        raise BadCredentials from None
    return await signed_in(command, store, hashing, attempts)


async def proven_password(
    command: OwnAccountUpdate,
    claims: PersonalClaims,
    store: StoreOfApp,
    hashing: AppHashing,
    attempts: Attempts,
) -> ProvenPassword:
    """Check the current password of an account, if one was sent, and hash the new one, if there is one."""
    if command.current_password is None:
        return ProvenPassword(checked=None, fits=False, new_hash=None)
    # Whoever has found a token must not guess its password faster here than at the sign-in.
    await attempts.begin(claims.sub)
    user = await store.look(lambda db: crud.get(db, User, claims.uid))
    checked = user.password_hash if user is not None else None
    fits = await hashing.verify(command.current_password, checked)
    if user is not None and fits:
        await attempts.end(user.email)
    if command.password is MISSING or user is None or not fits:
        return ProvenPassword(checked=checked, fits=fits, new_hash=None)
    names = command.model_dump(exclude_unset=True, include={"email", "full_name"}).values()
    if is_about(command.password, user.email, user.full_name, *names):
        raise InvalidRequest.at("password", TOO_PERSONAL)
    return ProvenPassword(checked=checked, fits=fits, new_hash=await hashing.hash(command.password))


HashedPassword = Annotated[str, Depends(hashed_password)]
SignedIn = Annotated[Opened, Depends(signed_in)]
SignedInByForm = Annotated[Opened, Depends(signed_in_by_form)]
PasswordProof = Annotated[ProvenPassword, Depends(proven_password)]
