"""Passwords, tokens and seals. Knows no table: an account is whatever has the four facts of ``Claims``."""

import binascii
import hmac
import math
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from anyio import CapacityLimiter, to_thread
from jose import JWTError, jwk, jwt

from app.core.gate import Gate

with warnings.catch_warnings():
    # passlib 1.7.4 looks at names that Python 3.13 and argon2-cffi have deprecated; nothing else in it does.
    warnings.simplefilter("ignore", DeprecationWarning)
    from passlib.hash import argon2

ALGORITHM = "HS256"
LONGEST_ID = 2_147_483_647
SEAL_BYTES = 16


class PasswordHasher:
    """Hash and verify passwords with Argon2id (RFC 9106), slow on purpose: never on the event loop."""

    def __init__(self) -> None:
        """Take OWASP's parameters for Argon2id: 19 MiB, two passes, one lane."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._scheme = argon2.using(  # type: ignore[no-untyped-call]
                type="ID", memory_cost=19_456, rounds=2, parallelism=1
            )
            self._scheme.get_backend()

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
    """Hash on a few threads of its own, so that a storm of logins holds no connection and no other thread."""

    def __init__(self, threads: int, queue: int, patience: float = math.inf) -> None:
        """Use ``threads`` at once; let ``queue`` requests wait for one, for ``patience`` seconds each."""
        self._hasher = PasswordHasher()
        self._gate = Gate(threads, queue, patience)
        self._threads = CapacityLimiter(threads)

    @property
    def waiting(self) -> int:
        """Count the requests that wait for a thread."""
        return self._gate.waiting

    async def hash(self, password: str) -> str:
        """Return a salted hash of ``password``."""
        async with self._gate:
            return await to_thread.run_sync(self._hasher.hash, password, limiter=self._threads)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether ``password`` made ``stored``; without one, take as long and say no."""
        async with self._gate:
            return await to_thread.run_sync(self._hasher.verify, password, stored, limiter=self._threads)


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says of its account; all of it must still fit."""

    uid: int
    sub: str
    ver: int


def bearer_token(authorization: str) -> str | None:
    """Return the token in an ``Authorization`` header, or None where there is no bearer token in it."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if token and scheme.lower() == "bearer" else None


class Tokens:
    """Issue and read access tokens (JWT, HS256 and nothing else)."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        """Sign with ``secret``; tokens end ``lifetime`` after they were issued."""
        # Made once: from a text, it would be made anew for every token.
        self._key = jwk.construct(secret, ALGORITHM)
        self.lifetime = lifetime

    def issue(self, claims: Claims) -> str:
        """Return a signed token for the account that ``claims`` describes."""
        now = datetime.now(UTC)
        payload = {
            "sub": claims.sub,
            "uid": claims.uid,
            "ver": claims.ver,
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
            case {"uid": int(uid), "sub": str(sub), "ver": int(ver)} if (
                0 < uid <= LONGEST_ID and bool not in {type(uid), type(ver)}
            ):
                return Claims(uid=uid, sub=sub, ver=ver)
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
