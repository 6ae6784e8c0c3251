"""Who is asking: from the bearer token or API key to an active account."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from app.core.database import Database
from app.core.exceptions import MissingScope, NotForKeys, Overloaded, Unauthorized
from app.core.logging import request_id
from app.core.security import (
    ApiKeys,
    Claims,
    Credential,
    Device,
    KeyClaims,
    Tokens,
    bearer_token,
    refusal_of,
)
from app.crud import audit_entries, credentials
from app.dependencies.database import Db
from app.models import User
from app.models.enums import Scope

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_USER_AGENT = 255


async def tokens(request: Request) -> Tokens:
    """Hand over what issues and reads tokens."""
    found: Tokens = request.app.state.tokens
    return found


AppTokens = Annotated[Tokens, Depends(tokens)]


def _needed(request: HTTPConnection) -> frozenset[str]:
    """Name the scopes of which an API key needs one for a request."""
    of_method = Scope.READ if request.scope["method"] in SAFE_METHODS else Scope.WRITE
    also: frozenset[str] = getattr(request.scope.get("route"), "also_for", frozenset())
    return also | {of_method}


class Bearer(OAuth2PasswordBearer):
    """Read the bearer token, or the API key. A bad one is refused even where none is needed.

    One dependency and not a chain of them: every request that carries a token passes here.
    """

    def __init__(self) -> None:
        """Describe the scheme."""
        # The OpenAPI document gets the whole address once the prefix is known.
        super().__init__(tokenUrl="auth/token", auto_error=False, scheme_name="Account")

    def read(self, request: HTTPConnection) -> Credential | None:
        """Return what the token or key of ``request`` claims, or None without one.

        Whether a key is one that was made, only the database knows.

        Raises:
            Unauthorized: there is a token, and it is not valid.

        """
        header = request.headers.get("authorization")
        if header is None:
            return None
        token = bearer_token(header)
        if token is None:
            raise Unauthorized
        if token.startswith(ApiKeys.PREFIX):
            claims: Credential | None = ApiKeys.read(token, _needed(request))
        else:
            tokens: Tokens = request.app.state.tokens
            claims = tokens.read_once(token, request.scope)
        if claims is None:
            raise Unauthorized("The token is not valid or has ended. Sign in again.")
        return claims

    def require(self, request: HTTPConnection) -> Credential:
        """Return what the token or key of ``request`` claims.

        Raises:
            Unauthorized: there is no valid token.

        """
        claims = self.read(request)
        if claims is None:
            raise Unauthorized
        return claims


class RequiredBearer(Bearer):
    """Read the token of a request that needs one."""

    async def __call__(self, request: HTTPConnection) -> Credential:  # type: ignore[override]
        """Return what the token claims."""
        return self.require(request)


class PersonalBearer(Bearer):
    """Read the token of a request that a person has to make, and no script with a key.

    Else a stolen key could make itself another, or an account that outlives it.
    """

    async def __call__(self, request: HTTPConnection) -> Claims:  # type: ignore[override]
        """Return what the token claims."""
        return self.read_plain(request)

    def read_plain(self, request: HTTPConnection, _: object = None) -> Claims:
        """Read the token of a plain request."""
        claims = self.require(request)
        if isinstance(claims, KeyClaims):
            raise NotForKeys
        return claims


_required = RequiredBearer()
_in_person = PersonalBearer()

ShownClaims = Annotated[Credential, Depends(_required)]
PersonalClaims = Annotated[Claims, Depends(_in_person)]
InPerson = Depends(_in_person)


class Account:
    """The account that asks; what it changes is noted as changed by it."""

    async def __call__(self, request: Request, claims: ShownClaims, db: Db) -> User:
        """Return it."""
        return await run_in_threadpool(self.read_within, db, (request, claims))

    def read_plain(self, request: Request, _: object) -> tuple[Request, Credential]:
        """Read the token or key of a plain request."""
        return request, _required.require(request)

    def read_within(self, db: Database, read: tuple[Request, Credential]) -> User:
        """Return the account of a request, in whose name it may write."""
        request, claims = read
        with noting_use(request, claims):
            user = account_of(db, claims)
        if request.method != "GET":
            ip = request.client.host if request.client else None
            audit_entries.sign(db, user.id, ip, request_id.get())
        return user


def account_of(db: Database, claims: Credential) -> User:
    """Return the active account that a credential opens.

    Raises:
        Unauthorized: it opens none.
        MissingScope: it is a key, and its scopes do not reach.

    """
    user, in_scope = credentials.get_account(db, claims) or (None, None)
    refusal = refusal_of(claims, in_scope)
    if user is None or refusal is not None:
        raise refusal or Unauthorized
    return user


@contextmanager
def noting_use(request: HTTPConnection, claims: Credential) -> Iterator[None]:
    """Note that an API key was used, unless it turns out to open nothing."""
    used = True
    try:
        yield
    except (Unauthorized, MissingScope, Overloaded):
        used = False
        raise
    finally:
        if used and isinstance(claims, KeyClaims):
            request.app.state.key_uses.note(claims.digest)


CurrentUser = Annotated[User, Depends(Account())]


async def device(request: Request, tokens: AppTokens) -> Device:
    """Read what signs in: what the client says it is, as far as it can be stored and shown."""
    said = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))
    return Device(tokens, said[:LONGEST_USER_AGENT] or None)


ThisDevice = Annotated[Device, Depends(device)]
