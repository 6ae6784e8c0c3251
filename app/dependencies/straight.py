"""The straight way through a route: for what is plain, past the framework's dependency solver.

FastAPI works out a route's dependencies anew for each request, and validates what has its type already.
When thousands press the button at once, that is most of what a request costs before it waits. A request
that is plain needs neither: ids that cannot be wrong, a query that its one reader finds nothing wrong with,
no header that has to be judged. The same endpoint, with the same arguments, serves both.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders

PLAIN_ID = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@runtime_checkable
class ReadsRequest(Protocol):
    """A dependency that can read what it needs off a plain request by itself."""

    def read_plain(self, request: Request, headers: MutableHeaders) -> object | None:
        """Return the argument, or None where the request is not plain; ``headers`` go into the answer."""


class StraightRoute(APIRoute):
    """Serve plain requests the straight way, where the endpoint takes no more than that offers."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Put the straight way before the usual one."""
        serve_as_usual = super().get_route_handler()
        way = _Way.through(self.dependant)
        if way is None:
            return serve_as_usual

        async def serve(request: Request) -> Response:
            headers = MutableHeaders()
            arguments = way.arguments(request, headers)
            if arguments is None:
                return await serve_as_usual(request)
            answer = await self.endpoint(**arguments)
            if isinstance(answer, Response):
                return answer
            return Response(answer.model_dump_json(), self.status_code or 200, headers, "application/json")

        return serve


class _Way:
    """What an endpoint takes, where it can be read without the solver."""

    def __init__(self, dependencies: Mapping[str, ReadsRequest], *, queried: bool) -> None:
        self._dependencies = dependencies
        self._queried = queried
        self._id: tuple[str, re.Pattern[str]] | None = None

    @classmethod
    def through(cls, dependant: Dependant) -> Self | None:
        """Find the way, if there is one: path ids, dependencies that read, and at most one id as query."""
        readers: dict[str, ReadsRequest] = {}
        for part in dependant.dependencies:
            if part.name is None or not isinstance(part.call, ReadsRequest):
                return None
            readers[part.name] = part.call
        if not readers or any((dependant.header_params, dependant.cookie_params, dependant.body_params)):
            return None
        # One that reads the query knows what may be in it; nobody else expects anything there.
        way = cls(readers, queried=any(part.query_params for part in dependant.dependencies))
        match dependant.query_params:
            case []:
                return way
            case [field] if field.field_info.annotation is int and not way._queried:
                way._id = (field.name, re.compile(f"{field.alias}=({PLAIN_ID.pattern})", re.ASCII))
                return way
            case _:
                return None

    def arguments(self, request: Request, headers: MutableHeaders) -> Mapping[str, Any] | None:
        """Read the endpoint's arguments off a plain request, or return None for another one."""
        found: dict[str, Any] = {}
        query = request.scope["query_string"]
        if self._id is not None:
            name, pattern = self._id
            said = pattern.fullmatch(query.decode("latin-1"))
            if said is None:
                return None
            found[name] = int(said[1])
        elif query and not self._queried:
            return None
        for name, text in request.path_params.items():
            if not PLAIN_ID.fullmatch(text):
                return None
            found[name] = int(text)
        for name, dependency in self._dependencies.items():
            argument = dependency.read_plain(request, headers)
            if argument is None:
                return None
            found[name] = argument
        return found
