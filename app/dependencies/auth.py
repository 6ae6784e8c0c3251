"""Who is asking: from the bearer token to an active account."""

from typing import Annotated, NamedTuple, Self

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from app.core.database import Database
from app.core.exceptions import Unauthorized
from app.core.logging import request_id
from app.core.security import Claims, Tokens, bearer_token
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
        token = bearer_token(header)
        if token is None:
            raise Unauthorized
        reader: Tokens = request.app.state.tokens
        claims = reader.read_once(token, request.scope)
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


required = RequiredBearer()

TokenClaims = Annotated[Claims, Depends(required)]
ClaimsIfAny = Annotated[Claims | None, Depends(OptionalBearer())]


async def viewer(claims: ClaimsIfAny, db: Db) -> User | None:
    """Return the account that asks, or None for somebody without a token."""
    return None if claims is None else await run_in_threadpool(account, db, claims)


class Origin(NamedTuple):
    """Where a request comes from that may change something."""

    ip: str | None
    request_id: str

    @classmethod
    def of(cls, request: Request) -> Self | None:
        """Read it off the request; a GET changes nothing."""
        if request.method == "GET":
            return None
        return cls(request.client.host if request.client else None, request_id.get())


class Account:
    """The account that asks; what it changes is noted as changed by it."""

    async def __call__(self, request: Request, claims: TokenClaims, db: Db) -> User:
        """Return it."""
        return await run_in_threadpool(self.read_within, db, (claims, Origin.of(request)))

    def read_plain(self, request: Request, _: object) -> tuple[Claims, Origin | None]:
        """Read the token of a plain request, and where it comes from."""
        return required.require(request), Origin.of(request)

    def read_within(self, db: Database, read: tuple[Claims, Origin | None]) -> User:
        """Return the account of a request."""
        claims, origin = read
        user = account(db, claims)
        if origin is not None:
            audit_entries.sign(db, user.id, origin.ip, origin.request_id)
        return user


def account(db: Database, claims: Claims) -> User:
    """Return the account of a token.

    Raises:
        Unauthorized: there is none, or it is not what the token says any more.

    """
    user = users.get_by_claims(db, claims)
    if user is None:
        raise Unauthorized("The token belongs to no active account any more. Sign in again.")
    return user


Viewer = Annotated[User | None, Depends(viewer)]
CurrentUser = Annotated[User, Depends(Account())]
