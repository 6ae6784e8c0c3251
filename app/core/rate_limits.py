"""How often one may ask: limits by address, by account and by user, and the answer to who asks more often.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11: ``RateLimit-Policy`` says what is allowed,
``RateLimit`` what is left of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import Self

from limits import parse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.exceptions import Problem, TooManyRequests, Unavailable
from app.core.metrics import PATH as METRICS_PATH
from app.core.problems import problem_response
from app.core.security import ApiKeys, Tokens, bearer_token, digest_of
from app.core.settings import Settings
from app.core.windows import Away, windows_at

SIGN_IN = ("/auth/login", "/auth/token")
SIGN_UP = "/auth/register"
DOOR = ("/check-ins", "/check-ins/batch")
READING = {"GET", "HEAD"}

AT_HOME_SECONDS = 30 * 24 * 60 * 60
LONGEST_NAME = 64
BITS_OF_A_HOST = 64


@dataclass(frozen=True)
class Limit:
    """So many in so many seconds; one that is ``needed`` lets nobody through while nobody can count."""

    name: str
    amount: int
    seconds: int
    needed: bool = False

    @classmethod
    def of(cls, name: str, rate: str, *, needed: bool = False) -> Self | None:
        """Read a limit in the notation of the settings; there is none where it is switched off."""
        if rate == "off":
            return None
        item = parse(rate)
        return cls(name, item.amount, item.get_expiry(), needed)

    def of_one_address(self) -> "Limit":
        """Return what one address may use up of a limit that several share: half."""
        return Limit(f"{self.name}-from-here", max(1, self.amount // 2), self.seconds, self.needed)

    @cached_property
    def policy(self) -> str:
        """Write what is allowed."""
        return f'"{self.name}";q={self.amount};w={self.seconds}'

    def headers(self, hits: int, left: float | None) -> dict[str, str]:
        """Write what is left of it after so many hits, for so many seconds if that is known."""
        until = "" if left is None else f";t={ceil(left)}"
        return {
            "RateLimit-Policy": self.policy,
            "RateLimit": f'"{self.name}";r={max(0, self.amount - hits)}{until}',
        }


class Limiter:
    """Everything that is limited, and what counts it."""

    def __init__(self, settings: Settings) -> None:
        """Limit as the settings say, and count where they say."""
        self._windows = windows_at(settings.rate_limits_url.get_secret_value())
        self.sign_in = Limit.of("sign-in", settings.rate_limit_sign_in, needed=True)
        self.sign_up = Limit.of("sign-up", settings.rate_limit_sign_up, needed=True)
        self.account = Limit.of("account", settings.rate_limit_account, needed=True)
        self.writes = Limit.of("writes", settings.rate_limit_writes)
        self.reads = Limit.of("reads", settings.rate_limit_reads)
        self.check_ins = Limit.of("check-ins", settings.rate_limit_check_ins)

    async def close(self) -> None:
        """Give back what counts."""
        await self._windows.close()

    async def hit(self, limit: Limit, who: str) -> dict[str, str]:
        """Count one more of ``who``, and return the headers that say what is left.

        Raises:
            TooManyRequests: nothing is left.
            Unavailable: nobody can count, and the limit is needed.

        """
        key = f"{limit.name}/{who}"
        try:
            hits, left = await self._windows.hit(key, limit.seconds)
            if hits <= limit.amount:
                return limit.headers(hits, left)
            seconds = max(1, ceil(await self._windows.left(key)))
        except Away:
            if limit.needed:
                raise Unavailable(
                    "No password can be taken or checked for a moment. Nothing was changed; try again soon."
                ) from None
            return {}
        raise TooManyRequests(
            f"Too many requests. Try again in {seconds} s.",
            headers={**limit.headers(hits, seconds), "Retry-After": str(seconds)},
            limit=limit.name,
            retry_after=seconds,
        )

    async def begin_sign_in(self, email: str, address: str) -> None:
        """Count an attempt to open an account.

        One address may use up half of what the account has, so that nobody can lock somebody else out alone.
        And where the account was opened from in the last days, it waits for no stranger.

        Raises:
            TooManyRequests: there were too many.
            Unavailable: nobody can count.

        """
        if self.account is None:
            return
        account, here = _names(email, address)
        await self.hit(self.account.of_one_address(), here)
        if not await self._is_home(here):
            await self.hit(self.account, account)

    async def end_sign_in(self, email: str, address: str) -> None:
        """Remember where an account was opened from, and forget the attempts that this took."""
        if self.account is None:
            return
        _, here = _names(email, address)
        try:
            await self._windows.forget(f"{self.account.of_one_address().name}/{here}")
            await self._windows.hit(f"home/{here}", AT_HOME_SECONDS)
        except Away:
            return

    async def _is_home(self, here: str) -> bool:
        try:
            return await self._windows.is_open(f"home/{here}")
        except Away:
            return False


class RateLimits:
    """Refuse whoever has asked too often, before anything is done for them.

    Whoever writes is known by the token, without a question to the database; one that is not valid counts
    for nobody, and its sender is known by the address. So is whoever reads. An API key counts for itself.
    """

    def __init__(self, app: ASGIApp, *, limiter: Limiter, tokens: Tokens) -> None:
        """Wrap ``app``."""
        self.app = app
        self._limiter = limiter
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        limits = self._judged(scope) if scope["type"] == "http" else []
        if not limits:
            await self.app(scope, receive, send)
            return
        try:
            for limit, who in limits:
                standing = await self._limiter.hit(limit, who)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)
            return
        said = [(name.lower().encode(), value.encode()) for name, value in standing.items()]

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *said]
            await send(message)

        await self.app(scope, receive, send_with_standing)

    def _judged(self, scope: Scope) -> list[tuple[Limit, str]]:
        """Tell which limits a request falls under, and who it counts for in each."""
        return [(limit, who) for limit, who in self._counted(scope) if limit is not None]

    def _counted(self, scope: Scope) -> Iterator[tuple[Limit | None, str]]:
        limiter, method, path = self._limiter, scope["method"], scope["path"].rstrip("/")
        if method == "OPTIONS" or path == METRICS_PATH or path.startswith("/health/"):
            return
        if method == "POST" and path.endswith(SIGN_IN):
            yield limiter.sign_in, address_of(scope)
            return
        if method == "POST" and path.endswith(SIGN_UP):
            yield limiter.sign_up, address_of(scope)
            return
        at_the_door = path.endswith(DOOR)
        who, known = self._sender(scope) if at_the_door or method not in READING else (None, False)
        if not known:
            yield limiter.reads, address_of(scope)
        if who is not None:
            yield limiter.check_ins if at_the_door else limiter.writes, who

    def _sender(self, scope: Scope) -> tuple[str | None, bool]:
        """Name whoever sends a request, and tell whether that is sure.

        A key that was made up looks like one that was made, so whoever sends one also counts by the address.
        """
        token = bearer_token(Headers(scope=scope).get("authorization", ""))
        if token is None:
            return None, False
        if token.startswith(ApiKeys.PREFIX):
            return digest_of(token).hex(), False
        claims = self._tokens.read_once(token, scope)
        # With the version: a token that has ended must not use up what its owner has today.
        return (None, False) if claims is None else (f"{claims.uid}.{claims.ver}", True)


def address_of(scope: Scope) -> str:
    """Name where a request comes from, as limits count it."""
    client = scope.get("client")
    return _counted_as(client[0]) if client else "nowhere"


@lru_cache(maxsize=4_096)
def _counted_as(host: str) -> str:
    """Take the addresses that one household or machine gets together in IPv6, a /64, for one."""
    try:
        address = ip_address(host)
    except ValueError:
        return host[:LONGEST_NAME]
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> BITS_OF_A_HOST << BITS_OF_A_HOST, 128 - BITS_OF_A_HOST)))


def _names(email: str, address: str) -> tuple[str, str]:
    """Name an account, and an account from one address, without keeping anybody's email."""
    account = blake2b(email.lower().encode(), digest_size=16).hexdigest()
    return account, f"{account}/{address}"
