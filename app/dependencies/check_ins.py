"""The answer to a scan: 201 for a check-in, 200 for one made before, or a refusal that undoes nothing."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Response, status

from app.core.exceptions import Problem
from app.dependencies import refusals
from app.dependencies.idempotency import OnceRoute
from app.models.enums import Scope
from app.schemas.check_ins import CheckInRead


class DoorRoute(refusals.DecidedRoute, OnceRoute):
    """Answer refused scans, which are kept, past the keeper of idempotency keys, who keeps successes only.

    An API key for the door comes in here, and nowhere else.
    """

    also_for = frozenset({Scope.CHECK_IN})


Answer = Callable[[CheckInRead | Problem], CheckInRead]


async def answer(response: Response) -> Answer:
    """Let a route answer what was decided at the door, with the status that says it."""

    def say(decided: CheckInRead | Problem) -> CheckInRead:
        made = refusals.answer(decided)
        response.status_code = status.HTTP_201_CREATED if made.first else status.HTTP_200_OK
        return made

    return say


AtTheDoor = Annotated[Answer, Depends(answer)]
