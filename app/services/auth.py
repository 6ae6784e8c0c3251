"""Signing up and signing in."""

from app import crud
from app.core.database import Database
from app.core.exceptions import EmailTaken
from app.core.security import Tokens
from app.models import User
from app.schemas.auth import Token


def sign_up(db: Database, tokens: Tokens, email: str, password_hash: str, full_name: str | None) -> Token:
    """Make an account and sign it in.

    Raises:
        EmailTaken: an account has the address, in whatever case.

    """
    if crud.users.get_by_email(db, email):
        raise EmailTaken
    user = crud.save(db, User(email=email.lower(), password_hash=password_hash, full_name=full_name))
    return Token.issued(tokens, user.claims)


def sign_in(tokens: Tokens, account: User) -> Token:
    """Give a token to an account that has shown its password."""
    return Token.issued(tokens, account.claims)
