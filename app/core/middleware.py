"""What every request passes through, as plain ASGI: no task and no queue per request."""

import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.conditional import compressed
from app.core.exceptions import ContentTooLarge, InternalError, UntrustedHost
from app.core.logging import request_id
from app.core.metrics import PATH as METRICS_PATH
from app.core.metrics import Metrics
from app.core.problems import problem_response

NOTHING_RUNS = b"default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
HTTPS_ONLY = ((b"strict-transport-security", b"max-age=31536000; includeSubDomains"),)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

access = logging.getLogger("app.access")
logger = logging.getLogger(__name__)


class RequestLog:
    """Give each request an id, accepted if well-formed and made otherwise, and log one line for it.

    The line shows the route's template and not the address, which may hold a secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if WELL_FORMED_ID.fullmatch(given) else secrets.token_hex(16)
        mark = request_id.set(name)
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            if access.isEnabledFor(logging.INFO):
                route = route_template(scope)
                spent = (time.perf_counter() - started) * 1_000
                access.info(
                    "%s %s %d %.1fms",
                    scope["method"],
                    route,
                    status,
                    spent,
                    extra={
                        "method": scope["method"],
                        "route": route,
                        "status": status,
                        "duration_ms": round(spent, 1),
                    },
                )
            request_id.reset(mark)


class RequestMetrics:
    """Count each request by its route's template, with how long it took and why it was refused."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Wrap ``app``."""
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        metrics = self._metrics
        method = scope["method"]
        status = 500
        started = time.perf_counter()
        metrics.in_flight += 1

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            metrics.in_flight -= 1
            spent = time.perf_counter() - started
            metrics.count(method, route_template(scope), status, scope.get("problem", ""), spent)


def route_template(scope: Scope) -> str:
    """Name the route that served a request, ``/events/{event_id}`` for ``/events/7``."""
    # A route of an included router knows its own path only; FastAPI keeps the one with the prefixes here.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return str(getattr(route, "path", "(no route)"))


class SecurityHeaders:
    """Tell browsers to take each answer for what it says it is and to run nothing from it."""

    def __init__(self, app: ASGIApp, *, content_security: dict[str, str], strict_transport: bool) -> None:
        """Wrap ``app``; ``content_security`` gives pages, by path, a policy of their own."""
        self.app = app
        self._policies = {path: policy.encode("latin-1") for path, policy in content_security.items()}
        self._always = [*SECURITY_HEADERS, *(HTTPS_ONLY if strict_transport else ())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        policy = self._policies.get(scope["path"].rstrip("/"), NOTHING_RUNS)
        added = [*self._always, (b"content-security-policy", policy)]

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *added]
                # An answer that says nothing of caches may hold a token or somebody's name; a file may not.
                if not any(name in {b"cache-control", b"last-modified"} for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_secured)


class HeadRequests:
    """Answer HEAD wherever GET is answered, with the same headers and without the body."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            # Whoever sends it has to know, or a body shorter than its length would be a fault.
            scope["method"] = "HEAD"
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        scope["method"] = "GET"
        await self.app(scope, receive, send_without_body)


class CompressedTags:
    """Tell apart the tags of an answer and of the same answer compressed, which are not the same bytes."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``, which compresses."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if "etag" in headers and headers.get("content-encoding") == "gzip":
                    headers["etag"] = compressed(headers["etag"])
            await send(message)

        await self.app(scope, receive, send_marked)


class BodyLimit:
    """Refuse a body over the limit before reading it, or while it comes in if its length was not said."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        """Wrap ``app``; let bodies of ``max_bytes`` through, or of what ``larger`` has for a path's end."""
        self.app = app
        self.max_bytes = max_bytes
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        too_large = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        length = Headers(scope=scope).get("content-length", "")
        most = max(self.max_bytes, self._larger.get(scope["path"].rpartition("/")[2], 0))
        # Beyond eighteen digits it is too much whatever follows, and Python reads no number of thousands.
        if length.isdecimal() and int(length[:18]) > most:
            await problem_response(ContentTooLarge())(scope, receive, send)
            return
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise too_large
            return message

        await self.app(scope, receive_counted, send)


class Failures:
    """Answer what nobody expected with a problem that shows nothing inner, and log it with its trace."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "lifespan.startup.failed":
                # What stops the start on purpose says so in a sentence; nobody needs the trace above it.
                message["message"] = message["message"].rpartition("CannotStart: ")[2]
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            logger.exception("unexpected failure")
            await problem_response(InternalError())(scope, receive, send)


class TrustedHosts:
    """Answer only under the names that ALLOW_HOSTS lists, so that no link can be made to point elsewhere.

    Health checks and metrics are answered under any name: whoever probes a container knows its address only.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str]) -> None:
        """Wrap ``app``; ``allowed`` holds names, ``*.name`` for its subdomains, or ``*``."""
        self.app = app
        self._any = "*" in allowed
        self._names = frozenset(host.lower() for host in allowed if not host.startswith("*"))
        self._suffixes = tuple(host[1:].lower() for host in allowed if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not self._any and not _is_probe(scope["path"]):
            host = _without_port(Headers(scope=scope).get("host", "")).lower()
            if host not in self._names and not (self._suffixes and host.endswith(self._suffixes)):
                await problem_response(UntrustedHost())(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_probe(path: str) -> bool:
    return path.startswith("/health/") or path == METRICS_PATH


def _without_port(host: str) -> str:
    return host if host.endswith("]") else re.sub(r":\d*$", "", host)


class TrailingSlash:
    """Serve a path with a trailing slash as the one without, instead of redirecting the client."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] != "/" and scope["path"].endswith("/"):
            scope["path"] = scope["path"].rstrip("/") or "/"
        await self.app(scope, receive, send)
