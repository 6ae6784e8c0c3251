"""Passwords, and what is sent in their place: access tokens, refresh tokens, API keys. And seals.

Knows no table.
"""

import asyncio
import binascii
import hmac
import math
import re
import secrets
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any, Self, TypeVar

from jose import JWTError, jwk, jwt
from jose.exceptions import JWKError

from app.core.exceptions import MissingScope, Problem, Unauthorized
from app.core.gate import Gate

with warnings.catch_warnings():
    # passlib 1.7.4 looks at names that Python 3.13 and argon2-cffi have deprecated; nothing else in it does.
    warnings.simplefilter("ignore", DeprecationWarning)
    from passlib.hash import argon2

ALGORITHM = "HS256"
LONGEST_ID = 2_147_483_647
SEAL_BYTES = 16
SECRET_BYTES = 32
IN_BASE64 = r"[A-Za-z0-9_-]{43}"

LEAST_MEMORY_KIB = 19_456
FEWEST_PASSES = 2

HANDED_TO_A_THREAD = 8
"""Passwords, the one that is being hashed among them."""

Done = TypeVar("Done")


class PasswordHasher:
    """Hash and verify passwords with Argon2id (RFC 9106), slow on purpose: never on the event loop."""

    def __init__(
        self, *, memory_kib: int = LEAST_MEMORY_KIB, passes: int = FEWEST_PASSES, lanes: int = 1
    ) -> None:
        """Take parameters for Argon2id; without any, the least that OWASP recommends."""
        self._parameters = f"$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._scheme = argon2.using(  # type: ignore[no-untyped-call]
                type="ID", memory_cost=memory_kib, rounds=passes, parallelism=lanes
            )
            self._scheme.get_backend()

    def made(self, stored: str) -> bool:
        """Tell whether ``stored`` has these parameters, and not some of an earlier day."""
        return stored.startswith(self._parameters)

    def hash(self, password: str) -> str:
        """Return a salted hash of ``password`` in PHC string format."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return str(self._scheme.hash(password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether ``password`` made ``stored``; without one, take as long and say no."""
        fits = bool(self._scheme.verify(password, stored or self._nobodys))
        return fits and stored is not None

    @cached_property
    def _nobodys(self) -> str:
        return self.hash("nobody has this password")


@dataclass(frozen=True, slots=True)
class ProvenPassword:
    """What came of the passwords in a request, worked out before its transaction began."""

    checked: str | None
    fits: bool
    new_hash: str | None

    def opens(self, stored: str) -> bool:
        """Tell whether the password given opens the account whose hash is ``stored`` now."""
        return self.fits and self.checked == stored


class Hashing:
    """Hash on a few threads of its own, so that a storm of logins holds no connection and no other thread.

    A few more than there are threads for are handed to them: the next one is begun without a turn of the
    event loop, which in a storm takes longer than to hash.
    """

    def __init__(self, hasher: PasswordHasher, threads: int, queue: int, patience: float = math.inf) -> None:
        """Use ``threads`` at once; let ``queue`` requests wait for one, for ``patience`` seconds each."""
        self._hasher = hasher
        self._gate = Gate(threads * HANDED_TO_A_THREAD, queue, patience)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing")

    @property
    def waiting(self) -> int:
        """Count the requests that wait for a thread."""
        return self._gate.waiting

    async def hash(self, password: str) -> str:
        """Return a salted hash of ``password``."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether ``password`` made ``stored``; without one, take as long and say no."""
        return await self._run(self._hasher.verify, password, stored)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    async def _run(self, work: Callable[..., Done], *about: Any) -> Done:
        async with self._gate:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *about)

    async def renewed(self, password: str, stored: str) -> str | None:
        """Return a hash of ``password`` with today's parameters, or None where ``stored`` has them."""
        return None if self._hasher.made(stored) else await self.hash(password)


def digest_of(secret: str) -> bytes:
    """Return what is stored of a secret that nobody can guess; of a password, that would be too little."""
    return sha256(secret.encode()).digest()


def new_secret() -> str:
    """Return 256 random bits, as text."""
    return secrets.token_urlsafe(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says of its account and of the sign-in it belongs to; all of it must still fit."""

    uid: int
    sub: str
    ver: int
    sid: int


@dataclass(frozen=True, slots=True)
class KeyClaims:
    """What an API key says of its account, its digest, and which scopes would do for what it is used for."""

    uid: int
    digest: bytes
    needs: frozenset[str]

    def reaches(self, scopes: Collection[str]) -> bool:
        """Tell whether ``scopes`` hold one that would do."""
        return not self.needs.isdisjoint(scopes)


Credential = Claims | KeyClaims
"""What a request shows of whom it comes from. ``uid`` is nobody's account until the database has said so."""


def refusal_of(credential: Credential, in_scope: bool | None) -> Problem | None:  # noqa: FBT001 - three answers
    """Say why ``credential`` opens nothing here, or None if it does.

    ``in_scope`` is None where it fits no account, and False where it fits one and lacks the scope.
    """
    if isinstance(credential, Claims):
        return None if in_scope else Unauthorized("The token has ended, or its account has. Sign in again.")
    if in_scope is None:
        return Unauthorized("There is no such API key, or it has ended. Make a new one.")
    return None if in_scope else MissingScope.of(credential.needs)


class ApiKeys:
    """Make and read API keys: ``mek_``, the id of the account, and a secret."""

    PREFIX = "mek_"
    SHOWN = 6
    _KEY = re.compile(rf"{PREFIX}([1-9][0-9]{{0,9}})_{IN_BASE64}", re.ASCII)

    @classmethod
    def new(cls, uid: int) -> str:
        """Return a new key for an account."""
        return f"{cls.PREFIX}{uid}_{new_secret()}"

    @classmethod
    def shown(cls, key: str) -> str:
        """Return the part of a key that its owner knows it by, which is too little to use it."""
        return key[: -len(new_secret()) + cls.SHOWN]

    @classmethod
    def read(cls, key: str, needs: frozenset[str]) -> KeyClaims | None:
        """Return what a key claims, used where one of the scopes ``needs`` will do, or None for no key."""
        said = cls._KEY.fullmatch(key)
        if said is None or int(said[1]) > LONGEST_ID:
            return None
        return KeyClaims(uid=int(said[1]), digest=digest_of(key), needs=needs)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token: a name that all of its family have in common, and a secret of its own.

    Whoever shows the right name and another secret has an older token of the family.
    """

    _name: str = field(repr=False)
    _secret: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Begin a family."""
        return cls(new_secret(), new_secret())

    def next(self) -> Self:
        """Return the one that takes the place of this."""
        return type(self)(self._name, new_secret())

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the token that ``text`` is, or None."""
        said = re.fullmatch(rf"mer_({IN_BASE64})({IN_BASE64})", text, re.ASCII)
        return cls(said[1], said[2]) if said else None

    def __str__(self) -> str:
        return f"mer_{self._name}{self._secret}"

    @property
    def family_digest(self) -> bytes:
        """Return what is stored of the family's name."""
        return digest_of(self._name)

    @property
    def digest(self) -> bytes:
        """Return what is stored of this token."""
        return digest_of(str(self))


def bearer_token(authorization: str) -> str | None:
    """Return the token in an ``Authorization`` header, or None where there is no bearer token in it."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if token and scheme.lower() == "bearer" else None


class Tokens:
    """Issue and read access tokens (JWT, HS256 and nothing else)."""

    def __init__(
        self, secret: str, lifetime: timedelta, refresh_lifetime: timedelta = timedelta(days=30)
    ) -> None:
        """Sign with ``secret``; tokens end ``lifetime`` after they were issued, refresh tokens later."""
        # Made once: from a text, it would be made anew for every token.
        self._key = jwk.construct(secret, ALGORITHM)
        self.lifetime = lifetime
        self.refresh_lifetime = refresh_lifetime

    @staticmethod
    def can_sign_with(secret: str) -> bool:
        """Tell whether ``secret`` can be one: what is made to be published cannot."""
        try:
            jwk.construct(secret, ALGORITHM)
        except JWKError:
            return False
        return True

    def issue(self, claims: Claims) -> str:
        """Return a signed token for the account and the sign-in that ``claims`` describes."""
        now = datetime.now(UTC)
        payload = {
            "sub": claims.sub,
            "uid": claims.uid,
            "ver": claims.ver,
            "sid": claims.sid,
            "iat": now,
            "exp": now + self.lifetime,
        }
        return jwt.encode(payload, self._key, algorithm=ALGORITHM)

    def read_once(self, token: str, scope: MutableMapping[str, Any]) -> Claims | None:
        """Return what ``read`` does; the token of one request, whose ``scope`` it is, is read only once."""
        if "claims" not in scope:
            scope["claims"] = self.read(token)
        claims: Claims | None = scope["claims"]
        return claims

    def read(self, token: str) -> Claims | None:
        """Return what a valid token claims, or None for one that is forged, expired or not ours."""
        try:
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                options={"require_exp": True, "require_iat": True},
            )
        except (JWTError, RecursionError, TypeError, OverflowError):
            # Beside its own error, python-jose lets through what a header nested without end raises, and
            # what a time does that is null or endless.
            return None
        match payload:
            # True is an int, and no id.
            case {"uid": int(uid), "sub": str(sub), "ver": int(ver), "sid": int(sid)} if (
                0 < uid <= LONGEST_ID
                and 0 < sid <= LONGEST_ID
                and bool not in {type(uid), type(ver), type(sid)}
            ):
                return Claims(uid=uid, sub=sub, ver=ver, sid=sid)
            case _:
                return None


class Seals:
    """Seal what clients carry for us and bring back, so that nobody else can have written or changed it.

    Whoever has it can read it. What is sealed for one purpose, or in one context, opens in no other.
    """

    def __init__(self, secret: str, purpose: str) -> None:
        """Seal with a key of its own for each ``purpose``, so that no token is ever taken for a seal."""
        self._key = hmac.digest(secret.encode(), purpose.encode(), "sha256")

    def seal(self, context: str, message: bytes) -> str:
        """Return ``message`` as a sealed text that fits into an address."""
        return urlsafe_b64encode(self._seal(context, message) + message).decode().rstrip("=")

    def open(self, context: str, sealed: str) -> bytes | None:
        """Return the message, or None if it is not as it was sealed in this context."""
        try:
            opened = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (UnicodeEncodeError, binascii.Error):
            return None
        seal, message = opened[:SEAL_BYTES], opened[SEAL_BYTES:]
        # Compared as text too: several texts decode to the same bytes, and one is ours.
        fits = hmac.compare_digest(seal, self._seal(context, message))
        return message if fits and self.seal(context, message) == sealed else None

    def _seal(self, context: str, message: bytes) -> bytes:
        return hmac.digest(self._key, context.encode() + b"\0" + message, "sha256")[:SEAL_BYTES]


@dataclass(frozen=True, slots=True)
class Device:
    """Where somebody signs in: what issues the tokens, and what the client says it is."""

    tokens: Tokens
    user_agent: str | None
