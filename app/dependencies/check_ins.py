"""The answer to a scan: 201 for a check-in, 200 for one made before, or a refusal that undoes nothing."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request, Response, status

from app.core.exceptions import Problem
from app.core.gate import Lane
from app.dependencies import refusals
from app.dependencies.idempotency import OnceRoute
from app.dependencies.straight import PlainAnswer
from app.models.enums import Scope
from app.schemas.check_ins import CheckInRead


class DoorRoute(refusals.DecidedRoute, OnceRoute):
    """Go before the public, and answer refused scans, which are kept.

    Refusals pass the keeper of idempotency keys, who keeps successes only. An API key for the door comes in
    here, and nowhere else.
    """

    lane = Lane.DOOR
    also_for = frozenset({Scope.CHECK_IN})


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
        made = refusals.answer(decided)
        response.status_code = status.HTTP_201_CREATED if made.first else status.HTTP_200_OK
        return made

    return say


AtTheDoor = Annotated[Answer, Depends(AnswerAtTheDoor())]
