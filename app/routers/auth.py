"""Signing up, signing in, staying signed in, and signing out. These routes read no access token."""

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import BadCredentials, BadRefreshToken, EmailTaken
from app.core.problems import problems
from app.dependencies.auth import AppTokens, ThisDevice
from app.dependencies.database import Db
from app.dependencies.passwords import HashedPassword, SignedIn, SignedInByForm
from app.dependencies.refusals import DecidedRoute, answer
from app.schemas.auth import AccountCreate, Refreshing, SigningOut, Token

router = APIRouter(prefix="/auth", tags=["Accounts"], route_class=DecidedRoute)


@router.post(
    "/register",
    summary="Sign up",
    status_code=status.HTTP_201_CREATED,
    responses=problems(EmailTaken),
)
def sign_up(
    command: AccountCreate,
    password_hash: HashedPassword,
    device: ThisDevice,
    db: Db,
) -> Token:
    """Make an account and begin a session.

    A password that many people have, or that is little more than the address or the name, is refused.

    The address is compared and kept in lower case. New accounts are `ATTENDEE`, and may create events
    unless the service is set to organisers only.
    """
    return services.auth.sign_up(db, command, password_hash, device)


@router.post("/login", summary="Sign in", responses=problems(BadCredentials))
def sign_in(opened: SignedIn, device: ThisDevice, db: Db) -> Token:
    """Begin a session, with an access token, and a refresh token to stay signed in.

    An unknown address, a wrong password and an inactive account are answered alike, and take as long.
    """
    return services.auth.sign_in(db, opened.account, opened.renewed_hash, device)


@router.post("/token", summary="Sign in with a form", responses=problems(BadCredentials))
def sign_in_with_form(opened: SignedInByForm, device: ThisDevice, db: Db) -> Token:
    """Begin a session with the OAuth2 password form, as the **Authorize** dialog of this page does.

    `username` is the email.
    """
    return services.auth.sign_in(db, opened.account, opened.renewed_hash, device)


@router.post("/refresh", summary="Stay signed in", responses=problems(BadRefreshToken))
def refresh(command: Refreshing, tokens: AppTokens, db: Db) -> Token:
    """Get new tokens for a refresh token, which is used up by it.

    **Each is good once.** One that comes a second time ends its session, with all of its tokens, since then
    somebody else may have one. So refresh from one place at a time, and keep the answer.
    """
    return answer(services.auth.refresh(db, tokens, command))


@router.post("/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT)
def sign_out(command: SigningOut, db: Db) -> None:
    """End the session that a refresh token belongs to, or all sessions of its account, at once.

    One that has ended already is answered alike. API keys go on.
    """
    services.auth.sign_out(db, command)
