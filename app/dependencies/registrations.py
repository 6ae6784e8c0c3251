"""The entrance to the registrations: everything that a request for a place is made of, in one dependency."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response, status
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders

from app.core.coalescing import GroupCommit
from app.core.security import Claims
from app.dependencies.auth import Bearer
from app.dependencies.idempotency import GivenKey, request_key
from app.dependencies.paths import Place, placing
from app.schemas.idempotency import RequestKey
from app.schemas.registrations import Application, RegistrationMade

PLAIN_ID = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who stands at the entrance, and what they bring."""

    claims: Claims
    key: RequestKey | None
    admissions: GroupCommit[Application, RegistrationMade]
    place: Place

    async def apply(self, event_id: int) -> RegistrationMade:
        """Wait with all the others for the decision, and say where a new registration can be read."""
        made = await self.admissions.submit(Application(self.claims, event_id, self.key))
        self.place("read_registration", registration_id=made.id)
        return made


class EntranceForBearer(Bearer):
    """Let whoever carries a token come to the entrance.

    One dependency and not four: FastAPI's work on each costs a rush as much as reading the token does.
    """

    async def __call__(  # type: ignore[override]
        self, request: Request, response: Response, key: GivenKey = None
    ) -> Entrance:
        """Read what a request for a place brings, without asking the database."""
        return Entrance(
            self.require(request),
            await request_key(request, key),
            request.app.state.admissions,
            placing(request.app, response.headers),
        )


_bearer = EntranceForBearer()

AtTheEntrance = Annotated[Entrance, Depends(_bearer)]


class RushRoute(APIRoute):
    """Serve a plain request straight from the token to the entrance, and any other the usual way.

    The framework works out a route's dependencies anew for each request, and validates what has a type
    already. When thousands press the button at once, that is most of what a request costs. What is plain
    needs neither: an id that cannot be wrong and no key. The same endpoint serves both.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Put the short way before the usual one, where there is an entrance."""
        serve_as_usual = super().get_route_handler()
        if all(dependency.call is not _bearer for dependency in self.dependant.dependencies):
            return serve_as_usual

        async def serve(request: Request) -> Response:
            ((name, key),) = request.path_params.items()
            if not PLAIN_ID.fullmatch(key) or "idempotency-key" in request.headers:
                return await serve_as_usual(request)
            headers = MutableHeaders()
            place = placing(request.app, headers)
            entrance = Entrance(_bearer.require(request), None, request.app.state.admissions, place)
            made = await self.endpoint(entrance=entrance, **{name: int(key)})
            return Response(made.model_dump_json(), status.HTTP_201_CREATED, headers, "application/json")

        return serve
