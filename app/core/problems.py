"""Problems over HTTP (RFC 9457): three handlers that make one shape, and the declarations for OpenAPI."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app.core.exceptions import (
    Conflict,
    ContentTooLarge,
    Forbidden,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from app.core.logging import request_id
from app.core.questions import GAVE_UP

MEDIA_TYPE = "application/problem+json"

PROBLEM_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal (RFC 9457). `docs/problems.md` lists every `type` and what to do about it.",
    "properties": {
        "type": {"type": "string", "examples": ["/problems/event-full"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "What is wrong and what to do, for a person.",
        },
        "request_id": {
            "type": "string",
            "description": "Name it when you ask for help.",
        },
        "errors": {
            "type": "array",
            "description": "With 422: each fault and the field it is in.",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string"},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "request_id"],
    "additionalProperties": True,
}

DATABASE_TROUBLE: tuple[type[Exception], ...] = (OperationalError, PoolTimeout)
"""What is raised when the database does not answer; it meets every request alike."""

TOOK_TOO_LONG = (
    "It took too long, or somebody else was changing the same. Nothing was changed; try again in a moment."
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind
    for kind in (
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        ContentTooLarge,
        UnsupportedMediaType,
        InvalidRequest,
        InternalError,
    )
}

logger = logging.getLogger(__name__)


class ProblemResponse(JSONResponse):
    """A problem, on its way to the client; what measures requests finds its slug in the scope."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        """Write ``problem``."""
        content = {**problem.document(), "request_id": request_id.get()}
        super().__init__(content, problem.status, {**problem.headers, **(headers or {})})
        self._slug = problem.slug()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        scope["problem"] = self._slug
        await super().__call__(scope, receive, send)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Write ``problem`` as a response."""
    return ProblemResponse(problem, headers)


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Declare what a route refuses, for its ``responses``."""
    declared: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        entry = declared.setdefault(
            kind.status,
            {
                "description": "",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        entry["description"] = ". ".join(filter(None, [entry["description"], kind.title]))
        entry["content"][MEDIA_TYPE]["examples"][kind.slug()] = {
            "summary": kind.title,
            "value": {
                **kind().document(),
                "request_id": "4f7c1e0b9a2d4c6f8e1b3d5a7c9e0f12",
            },
        }
    return declared


def install_problem_handlers(app: FastAPI, explain: Callable[[IntegrityError], Problem | None]) -> None:
    """Answer every refusal of ``app`` with a problem; what is left over, ``Failures`` answers.

    ``explain`` turns a violated constraint into the refusal it stands for, or returns None for one that
    nobody expected, which is our fault and stays a 500.
    """

    async def on_problem(_: Request, problem: Exception) -> Response:
        return problem_response(cast("Problem", problem))

    async def on_malformed(request: Request, error: Exception) -> Response:
        return problem_response(_describe(request, cast("RequestValidationError", error)))

    async def on_http_exception(request: Request, error: Exception) -> Response:
        refusal = cast("HTTPException", error)
        if refusal.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return problem_response(MethodNotAllowed(), {"Allow": ", ".join(_methods(request))})
        if refusal.status_code == HTTPStatus.BAD_REQUEST:
            unreadable = InvalidRequest(
                "The body cannot be read. Send it again in the format of its Content-Type."
            )
            return problem_response(unreadable)
        kind = _BY_STATUS.get(refusal.status_code, InternalError)
        return problem_response(kind(), refusal.headers)

    async def on_violation(_: Request, error: Exception) -> Response:
        refusal = explain(cast("IntegrityError", error))
        if refusal is None:
            raise error
        return problem_response(refusal)

    for kind, handler in (
        (Problem, on_problem),
        (RequestValidationError, on_malformed),
        (HTTPException, on_http_exception),
        (IntegrityError, on_violation),
        (StaleDataError, _on_lost_race),
        *((kind, _on_database_trouble) for kind in DATABASE_TROUBLE),
    ):
        app.add_exception_handler(kind, handler)


async def _on_lost_race(_: Request, __: Exception) -> Response:
    return problem_response(Conflict())


async def _on_database_trouble(_: Request, error: Exception) -> Response:
    if isinstance(getattr(error, "orig", None), GAVE_UP):
        logger.warning("a time limit ended a transaction", exc_info=error)
        return problem_response(Unavailable(TOOK_TOO_LONG))
    logger.error("the database did not answer", exc_info=error)
    return problem_response(Unavailable())


def _methods(request: Request) -> list[str]:
    """Return all methods that an address answers; the framework names those of one route only."""
    routes = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def _describe(request: Request, error: RequestValidationError) -> Problem:
    faults = error.errors()
    wrong_type = _wrong_media_type(request, faults)
    if wrong_type is not None:
        return wrong_type
    # A body that a route and one of its dependencies both read is judged twice.
    found = dict.fromkeys((_pointer(fault["loc"], fault["type"]), _sentence(fault)) for fault in faults)
    errors = [{"pointer": pointer, "detail": detail} for pointer, detail in found]
    first = errors[0]
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    return InvalidRequest(f"{first['pointer']}: {first['detail']}{more}.", errors=errors)


def _wrong_media_type(request: Request, faults: Iterable[Any]) -> Problem | None:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    expects = getattr(getattr(request.scope.get("route"), "body_field", None), "field_info", None)
    if expects is None or not any(fault["loc"][0] == "body" for fault in faults):
        return None
    wanted = getattr(expects, "media_type", "application/json")
    if sent == wanted or (wanted == "application/json" and sent.endswith("+json")):
        return None
    if wanted != "application/json" and sent == "multipart/form-data":
        return None
    if not sent and request.headers.get("content-length", "0").strip("0") == "":
        return None
    return UnsupportedMediaType(f"Send the body with 'Content-Type: {wanted}', not '{sent or 'nothing'}'.")


def _pointer(loc: tuple[int | str, ...], kind: str) -> str:
    """Name the field a fault is in: a JSON pointer into the body, or the parameter's name."""
    where, *path = loc
    if where != "body":
        return f"{where}/{'/'.join(map(str, path))}"
    if kind == "json_invalid" or not path:
        return "/"
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _sentence(fault: Any) -> str:
    if fault["type"] == "json_invalid":
        return (
            f"the body is not JSON ({json.dumps(fault['ctx']['error'])[1:-1]} at character {fault['loc'][1]})"
        )
    if fault["type"] == "extra_forbidden":
        return "there is no such field; take it out"
    if fault["type"] == "missing":
        return "this is required"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]
