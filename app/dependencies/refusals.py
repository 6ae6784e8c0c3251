"""Refusals that last: decided inside the request's transaction, which is committed all the same."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.core.exceptions import Problem
from app.core.problems import problem_response
from app.dependencies.straight import Decided

Made = TypeVar("Made")


def answer(decided: Made | Problem) -> Made:
    """Answer what a service has decided, on a route of the kind below."""
    if isinstance(decided, Problem):
        raise Decided(problem_response(decided))
    return decided


class DecidedRoute(APIRoute):
    """Answer a refusal that was decided, and let the request's transaction be committed.

    A problem that is raised the usual way goes through the transaction and undoes it. This one ends here,
    inside.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap the handler, inside the transaction that the request's dependencies opened."""
        serve = super().get_route_handler()

        async def serve_decided(request: Request) -> Response:
            try:
                return await serve(request)
            except Decided as decided:
                return decided.response

        return serve_decided
