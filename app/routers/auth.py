"""Signing up and signing in. These routes read no token."""

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import BadCredentials, EmailTaken
from app.core.problems import problems
from app.dependencies.auth import AppTokens
from app.dependencies.database import Db
from app.dependencies.passwords import HashedPassword, SignedIn, SignedInByForm
from app.schemas.auth import AccountCreate, Token

router = APIRouter(prefix="/auth", tags=["Accounts"])


@router.post(
    "/register",
    summary="Sign up",
    status_code=status.HTTP_201_CREATED,
    responses=problems(EmailTaken),
)
def sign_up(command: AccountCreate, password_hash: HashedPassword, tokens: AppTokens, db: Db) -> Token:
    """Make an account and get a token for it.

    The address is compared and kept in lower case. New accounts are `ATTENDEE`, and may create events
    unless the service is set to organisers only.
    """
    return services.auth.sign_up(db, tokens, command.email, password_hash, command.full_name)


@router.post("/login", summary="Sign in", responses=problems(BadCredentials))
async def sign_in(account: SignedIn, tokens: AppTokens) -> Token:
    """Get a token for an account.

    An unknown address, a wrong password and an inactive account are answered alike, and take as long.
    """
    return services.auth.sign_in(tokens, account)


@router.post("/token", summary="Sign in with a form", responses=problems(BadCredentials))
async def sign_in_with_form(account: SignedInByForm, tokens: AppTokens) -> Token:
    """Get a token with the OAuth2 password form, as the **Authorize** dialog of this page does.

    `username` is the email.
    """
    return services.auth.sign_in(tokens, account)
