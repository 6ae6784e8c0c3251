"""Who is asking: from the bearer token to an active account."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from app.core.exceptions import Unauthorized
from app.core.security import Claims, Tokens
from app.crud import users
from app.dependencies.database import Db
from app.models import User


class _Bearer(OAuth2PasswordBearer):
    """Read the bearer token, and refuse an Authorization header that holds something else."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized
        return token.strip()


# The OpenAPI document gets the whole address once the prefix is known.
bearer = _Bearer(tokenUrl="auth/token", auto_error=False, scheme_name="Account")


async def tokens(request: Request) -> Tokens:
    """Hand over what issues and reads tokens."""
    found: Tokens = request.app.state.tokens
    return found


AppTokens = Annotated[Tokens, Depends(tokens)]


async def claims_if_any(tokens: AppTokens, token: Annotated[str | None, Depends(bearer)]) -> Claims | None:
    """Read the token, if one was sent; a bad one is refused even where none is needed."""
    if token is None:
        return None
    claims = tokens.read(token)
    if claims is None:
        raise Unauthorized("The token is not valid or has ended. Sign in again.")
    return claims


async def claims(claims: Annotated[Claims | None, Depends(claims_if_any)]) -> Claims:
    """Read the token, which has to be there."""
    if claims is None:
        raise Unauthorized
    return claims


TokenClaims = Annotated[Claims, Depends(claims)]


async def viewer(claims: Annotated[Claims | None, Depends(claims_if_any)], db: Db) -> User | None:
    """Return the account that asks, or None for somebody without a token."""
    return None if claims is None else await _account(db, claims)


async def current_user(claims: TokenClaims, db: Db) -> User:
    """Return the account that asks."""
    return await _account(db, claims)


async def _account(db: Db, claims: Claims) -> User:
    user = await run_in_threadpool(users.get_by_claims, db, claims)
    if user is None:
        raise Unauthorized("The token belongs to no active account any more. Sign in again.")
    return user


Viewer = Annotated[User | None, Depends(viewer)]
CurrentUser = Annotated[User, Depends(current_user)]
