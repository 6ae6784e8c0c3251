"""The ids in paths and queries, and the address of what was made."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query, Request, Response
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


def placing(app: FastAPI, headers: MutableHeaders) -> Place:
    """Let ``headers`` say where what a request made can be read."""

    def place(route: str, **ids: int) -> None:
        headers["Location"] = _template(app, route, *ids).format(**ids)

    return place


async def location(request: Request, response: Response) -> Place:
    """Let a route say where what it made can be read."""
    return placing(request.app, response.headers)


Location = Annotated[Place, Depends(location)]


async def address(request: Request) -> Write:
    """Let a route write whole addresses of this service; without a route, that of the service itself."""
    base = str(request.base_url)

    def write(route: str | None = None, **values: int | str) -> str:
        if route is None:
            return base
        return base.rstrip("/") + _template(request.app, route, *values).format(**values)

    return write


Address = Annotated[Write, Depends(address)]
