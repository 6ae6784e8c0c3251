"""The straight way through a route: for what is plain, past the framework's dependency solver.

FastAPI works out a route's dependencies anew for each request, and validates what has its type already. When
thousands press the button at once, that is most of what a request costs before it waits. A request that is
plain needs neither: ids that cannot be wrong, a body that its schema accepts, a query that its one reader
finds nothing wrong with, no header that has to be judged. The same endpoint, with the same arguments, serves
both.

What is done within a transaction is done in one go, in one thread: the account, the endpoint, its answer
and the commit. The solver goes to a thread and back for each of them, and the way there costs more than what
most of them do.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from fastapi import Request, Response, status
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect

from app.core.database import Database, Store
from app.dependencies.database import hung_up, lane

PLAIN_ID = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
PLAIN_JSON = {"application/json", "application/json; charset=utf-8"}


class Decided(Exception):  # noqa: N818 - no failure: the answer is what was decided and written
    """An answer that ends a request and lets its transaction be committed; a problem would undo it."""

    def __init__(self, response: Response) -> None:
        """End the request with ``response``."""
        super().__init__()
        self.response = response


class PlainAnswer:
    """What the dependencies of a plain request put into its answer, beside the body."""

    def __init__(self, status_code: int) -> None:
        """Answer with ``status_code`` and no headers of its own, unless a dependency says otherwise."""
        self.status_code = status_code
        self.headers = MutableHeaders()


@runtime_checkable
class ReadsRequest(Protocol):
    """A dependency that can read what it needs off a plain request by itself."""

    def read_plain(self, request: Request, answer: PlainAnswer) -> object | None:
        """Return the argument, or None where the request is not plain."""


@runtime_checkable
class ReadsDatabase(ReadsRequest, Protocol):
    """A dependency that needs the request's transaction as well."""

    def read_within(self, db: Database, read: Any) -> object:
        """Make the argument of what was read off the request."""


Later = tuple[str | None, Callable[[Database, Any], object], Any]


class Read(NamedTuple):
    """What was read off a plain request: arguments, and what becomes arguments within the transaction."""

    arguments: dict[str, Any]
    later: Sequence[Later]

    def arguments_within(self, db: Database) -> dict[str, Any]:
        """Return all arguments of the endpoint."""
        for name, read_within, argument in self.later:
            found = read_within(db, argument)
            if name is not None:
                self.arguments[name] = found
        return self.arguments


class StraightRoute(APIRoute):
    """Serve plain requests the straight way, where the endpoint takes no more than that offers."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Put the straight way before the usual one."""
        serve_as_usual = super().get_route_handler()
        way = _Way.through(self.dependant)
        if way is None:
            return serve_as_usual
        call = self._wait if inspect.iscoroutinefunction(self.endpoint) else self._run

        async def serve(request: Request) -> Response:
            answer = PlainAnswer(self.status_code or status.HTTP_200_OK)
            read = await way.read(request, answer)
            if read is None:
                return await serve_as_usual(request)
            return await call(request, read, answer)

        return serve

    async def _wait(self, _: Request, read: Read, answer: PlainAnswer) -> Response:
        """Call an endpoint that waits in the event loop and sees to its transactions itself."""
        return self._answer(await self.endpoint(**read.arguments), answer)

    async def _run(self, request: Request, read: Read, answer: PlainAnswer) -> Response:
        """Call an endpoint in a transaction, in one thread from its beginning to its end."""

        def serve(db: Database) -> Response:
            try:
                return self._answer(self.endpoint(**read.arguments_within(db)), answer)
            except Decided as decided:
                return decided.response

        store: Store = request.app.state.store
        return await store.run(serve, lane=lane(request), leaving=partial(hung_up, request))

    def _answer(self, found: Any, answer: PlainAnswer) -> Response:
        if isinstance(found, Response):
            return found
        if self.response_model is None:
            return Response(None, answer.status_code, answer.headers)
        body = written(self.response_model, found)
        return Response(body, answer.status_code, answer.headers, "application/json")


def has_straight_way(route: StraightRoute) -> bool:
    """Say whether plain requests for ``route`` pass the solver by."""
    return _Way.through(route.dependant) is not None


class _Way:
    """What an endpoint takes, where it can be read without the solver."""

    def __init__(self, readers: Mapping[str | None, ReadsRequest], *, queried: bool) -> None:
        self._at_once = [
            (name, reader) for name, reader in readers.items() if not isinstance(reader, ReadsDatabase)
        ]
        self._later = [
            (name, reader) for name, reader in readers.items() if isinstance(reader, ReadsDatabase)
        ]
        self._queried = queried
        self._defaults: dict[str, Any] = {}
        self._id: tuple[str, re.Pattern[str]] | None = None
        self._body: tuple[str, type[BaseModel]] | None = None

    @classmethod
    def through(cls, dependant: Dependant) -> Self | None:
        """Find the way, if there is one: ids in the path, dependencies that read, and one model as body."""
        readers: dict[str | None, ReadsRequest] = {}
        for part in dependant.dependencies:
            if not isinstance(part.call, ReadsRequest) or part.name in readers:
                return None
            readers[part.name] = part.call
        if not readers or dependant.header_params or dependant.cookie_params:
            return None
        # A dependency that reads the query knows what may be in it; nobody else expects anything there.
        way = cls(readers, queried=any(part.query_params for part in dependant.dependencies))
        return way if way._take_query(dependant) and way._take_body(dependant) else None

    def _take_query(self, dependant: Dependant) -> bool:
        """Say whether all that the endpoint itself takes from a query may be missing, or is one id."""
        for field in dependant.query_params:
            kind = field.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                # The models of queries are frozen, so one serves all.
                self._defaults[field.name] = kind()
            elif not field.field_info.is_required():
                self._defaults[field.name] = field.get_default()
            elif kind is int and len(dependant.query_params) == 1 and not self._queried:
                self._id = (field.name, re.compile(f"{field.alias}=({PLAIN_ID.pattern})", re.ASCII))
            else:
                return False
        return True

    def _take_body(self, dependant: Dependant) -> bool:
        """Say whether there is no body, or one model is all of it."""
        match dependant.body_params:
            case []:
                return True
            case [field] if isinstance(kind := field.field_info.annotation, type):
                if issubclass(kind, BaseModel):
                    self._body = (field.name, kind)
                    return True
        return False

    async def read(self, request: Request, answer: PlainAnswer) -> Read | None:
        """Read off a plain request what the endpoint takes, or return None for another one."""
        found = self._read_address(request)
        if found is None:
            return None
        if self._body is not None:
            field, model = self._body
            found[field] = await _json(request, model)
            if found[field] is None:
                return None
        for name, reader in self._at_once:
            argument = reader.read_plain(request, answer)
            if argument is None:
                return None
            if name is not None:
                found[name] = argument
        later = [
            (name, reader.read_within, reader.read_plain(request, answer)) for name, reader in self._later
        ]
        return None if any(argument is None for *_, argument in later) else Read(found, later)

    def _read_address(self, request: Request) -> dict[str, Any] | None:
        """Read the ids in path and query, or return None where they, or what else is there, are not plain."""
        found: dict[str, Any] = {**self._defaults}
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
        return found


async def _json(request: Request, model: type[BaseModel]) -> BaseModel | None:
    """Read a whole body of plain JSON that ``model`` accepts, or return None."""
    headers = request.headers
    if headers.get("content-type") not in PLAIN_JSON or "content-length" not in headers:
        return None
    try:
        return model.model_validate(await request.json())
    except (ClientDisconnect, RecursionError, ValueError):
        # Whatever is wrong with it, the usual way says so.
        return None


@lru_cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def written(shape: Any, found: Any) -> bytes:
    """Write ``found`` out as ``shape``."""
    adapter = _adapter(shape)
    checked = adapter.validator.validate_python(found, from_attributes=True)
    return adapter.serializer.to_json(checked)
