"""The ids in paths and queries, and the address of what was made."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query, Request
from starlette.datastructures import MutableHeaders

from app.core.security import LONGEST_ID

EventId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
SessionId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
SpeakerId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
RoomId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
RegistrationId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
SignInId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
ApiKeyId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
UserId = Annotated[int, Path(ge=1, le=LONGEST_ID, examples=[1])]
OfEvent = Annotated[int, Query(alias="event_id", ge=1, le=LONGEST_ID, examples=[1])]

Place = Callable[..., None]
Write = Callable[..., str]


@lru_cache
def _template(app: FastAPI, route: str, *names: str) -> str:
    """Return the path of a route with its ids left open; to search for it each time takes long."""
    return str(app.url_path_for(route, **{name: f"{{{name}}}" for name in names}))


def _path(app: FastAPI, route: str, **values: int | str) -> str:
    return _template(app, route, *values).format(**values)


def placing(app: FastAPI, headers: MutableHeaders) -> Place:
    """Let ``headers`` say where what a request made can be read."""

    def place(route: str, **ids: int) -> None:
        headers["Location"] = _path(app, route, **ids)

    return place


class PathsOfApp:
    """What lets a route say where what it made can be read."""

    async def __call__(self, request: Request) -> Write:
        """Return what writes the path of a route."""
        return self.read_plain(request)

    def read_plain(self, request: Request, *_: object) -> Write:
        """Return it for a plain request as well."""
        return partial(_path, request.app)


Location = Annotated[Write, Depends(PathsOfApp())]


@dataclass(frozen=True, slots=True)
class Addresses:
    """What writes whole addresses of the service, as this client calls it."""

    app: FastAPI
    base: str

    def __call__(self, route: str | None = None, **values: int | str) -> str:
        """Return the address of a route; without one, that of the service itself."""
        if route is None:
            return self.base
        return self.base.rstrip("/") + _path(self.app, route, **values)


async def address(request: Request) -> Addresses:
    """Let a route write whole addresses of this service."""
    return Addresses(request.app, str(request.base_url))


Address = Annotated[Addresses, Depends(address)]
