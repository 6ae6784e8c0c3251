"""The answer to a scan: 201 for a check-in, 200 for one made before, or a refusal that undoes nothing."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Response, status

from app.core.exceptions import Problem
from app.core.gate import Lane
from app.core.problems import problem_response
from app.dependencies.idempotency import OnceRoute
from app.dependencies.straight import Decided, PlainAnswer
from app.schemas.check_ins import CheckInRead


class DoorRoute(OnceRoute):
    """Go before the public, and let the transaction of a refusal that was decided be committed.

    A problem that is raised the usual way goes through the transaction and undoes it. This one ends here,
    inside, past the keeper of idempotency keys, who remembers successes only.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap the handler, inside the transaction that the request's dependencies opened."""
        serve = super().get_route_handler()

        async def serve_at_the_door(request: Request) -> Response:
            request.state.lane = Lane.DOOR
            try:
                return await serve(request)
            except Decided as decided:
                return decided.response

        return serve_at_the_door


Answer = Callable[[CheckInRead | Problem], CheckInRead]


class AnswerAtTheDoor:
    """What lets a route answer what was decided at the door, with the status that says it."""

    async def __call__(self, response: Response) -> Answer:
        """Put the status into ``response``."""
        return _answering(response)

    def read_plain(self, _: Request, answer: PlainAnswer) -> Answer:
        """Put the status into the answer to a plain request."""
        return _answering(answer)


def _answering(response: Response | PlainAnswer) -> Answer:
    def say(decided: CheckInRead | Problem) -> CheckInRead:
        if isinstance(decided, Problem):
            raise Decided(problem_response(decided))
        response.status_code = status.HTTP_201_CREATED if decided.first else status.HTTP_200_OK
        return decided

    return say


AtTheDoor = Annotated[Answer, Depends(AnswerAtTheDoor())]
