"""Signing up, signing in, staying signed in, and signing out."""

import logging
from hmac import compare_digest

from app import crud
from app.core.database import Database
from app.core.exceptions import BadRefreshToken, EmailTaken, Problem
from app.core.security import Device, RefreshToken, Tokens
from app.models import User
from app.schemas.auth import AccountCreate, Refreshing, SigningOut, Token

logger = logging.getLogger(__name__)


def sign_up(db: Database, command: AccountCreate, password_hash: str, device: Device) -> Token:
    """Make an account and sign it in.

    Raises:
        EmailTaken: an account has the address, in whatever case.

    """
    if crud.users.get_by_email(db, command.email):
        raise EmailTaken
    user = User(email=command.email, password_hash=password_hash, full_name=command.full_name)
    return _begin(db, crud.save(db, user), device)


def sign_in(db: Database, account: User, renewed_hash: str | None, device: Device) -> Token:
    """Give tokens to an account that has shown its password, and keep a newer hash of it, if there is one."""
    if renewed_hash is not None:
        crud.users.renew_hash(db, account, renewed_hash)
    return _begin(db, account, device)


def _begin(db: Database, user: User, device: Device) -> Token:
    first = RefreshToken.new()
    sign_in = crud.sign_ins.add(db, user, device, first)
    return Token.issued(device.tokens, user.claims(sign_in.id), first)


def refresh(db: Database, tokens: Tokens, command: Refreshing) -> Token | Problem:
    """Take the last refresh token of a family and give the next one.

    Another one of the family was used before. Either its owner uses it again or a thief does, and nobody can
    tell who has the last one, so all of them end. That is written, so the refusal is returned and not raised.
    """
    given = RefreshToken.read(command.refresh_token)
    found = crud.sign_ins.lock_of_family(db, given) if given else None
    if given is None or found is None:
        return BadRefreshToken()
    sign_in, user = found
    if not compare_digest(sign_in.token_digest, given.digest):
        crud.remove(db, sign_in)
        logger.warning("a refresh token of account %d was used twice; its session has ended", user.id)
        return BadRefreshToken()
    following = given.next()
    crud.sign_ins.put_next(db, sign_in, following, tokens.refresh_lifetime)
    return Token.issued(tokens, user.claims(sign_in.id), following)


def sign_out(db: Database, command: SigningOut) -> None:
    """End the sign-in that a refresh token belongs to, or all of its account."""
    given = RefreshToken.read(command.refresh_token)
    sign_in = crud.sign_ins.get_of_family(db, given) if given else None
    if sign_in is None:
        return
    if command.everywhere:
        # The account first, like whoever changes a password: else two who end all wait in a circle.
        crud.users.lock(db, sign_in.user_id)
        crud.sign_ins.end_all(db, sign_in.user_id)
    else:
        crud.sign_ins.end(db, sign_in.user_id, sign_in.id)
