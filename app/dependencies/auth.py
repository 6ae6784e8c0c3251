"""Who is asking: from the bearer token to an active account."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from app.core.exceptions import Unauthorized
from app.core.logging import request_id
from app.core.security import Claims, Tokens
from app.crud import audit_entries, users
from app.dependencies.database import Db
from app.models import User


async def tokens(request: Request) -> Tokens:
    """Hand over what issues and reads tokens."""
    found: Tokens = request.app.state.tokens
    return found


AppTokens = Annotated[Tokens, Depends(tokens)]


class Bearer(OAuth2PasswordBearer):
    """Read the bearer token. A bad one is refused even where none is needed.

    One dependency and not a chain of them: every request that carries a token passes here.
    """

    def __init__(self) -> None:
        """Describe the scheme."""
        # The OpenAPI document gets the whole address once the prefix is known.
        super().__init__(tokenUrl="auth/token", auto_error=False, scheme_name="Account")

    def read(self, request: HTTPConnection) -> Claims | None:
        """Return what the token of ``request`` claims, or None without one.

        Raises:
            Unauthorized: there is a token, and it is not valid.

        """
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized
        reader: Tokens = request.app.state.tokens
        claims = reader.read(token.strip())
        if claims is None:
            raise Unauthorized("The token is not valid or has ended. Sign in again.")
        return claims

    def require(self, request: HTTPConnection) -> Claims:
        """Return what the token of ``request`` claims.

        Raises:
            Unauthorized: there is no valid token.

        """
        claims = self.read(request)
        if claims is None:
            raise Unauthorized
        return claims


class OptionalBearer(Bearer):
    """Read the token of a request that needs none."""

    async def __call__(self, request: HTTPConnection) -> Claims | None:  # type: ignore[override]
        """Return what the token claims, or None without one."""
        return self.read(request)


class RequiredBearer(Bearer):
    """Read the token of a request that needs one."""

    async def __call__(self, request: HTTPConnection) -> Claims:  # type: ignore[override]
        """Return what the token claims."""
        return self.require(request)


TokenClaims = Annotated[Claims, Depends(RequiredBearer())]
ClaimsIfAny = Annotated[Claims | None, Depends(OptionalBearer())]


async def viewer(claims: ClaimsIfAny, db: Db) -> User | None:
    """Return the account that asks, or None for somebody without a token."""
    return None if claims is None else await _account(db, claims)


async def current_user(request: Request, claims: TokenClaims, db: Db) -> User:
    """Return the account that asks; what it changes is noted as changed by it."""
    user = await _account(db, claims)
    if request.method != "GET":
        ip = request.client.host if request.client else None
        await run_in_threadpool(audit_entries.sign, db, user.id, ip, request_id.get())
    return user


async def _account(db: Db, claims: Claims) -> User:
    user = await run_in_threadpool(users.get_by_claims, db, claims)
    if user is None:
        raise Unauthorized("The token belongs to no active account any more. Sign in again.")
    return user


Viewer = Annotated[User | None, Depends(viewer)]
CurrentUser = Annotated[User, Depends(current_user)]
