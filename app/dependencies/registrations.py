"""The entrance to events and sessions: what a request for a place or a seat is made of, in one dependency."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from starlette.datastructures import MutableHeaders

from app.core.coalescing import GroupCommit
from app.core.security import Credential
from app.dependencies.auth import Bearer, noting_use
from app.dependencies.idempotency import GivenKey, request_key
from app.dependencies.paths import Place, placing
from app.dependencies.straight import PlainAnswer
from app.schemas.idempotency import RequestKey
from app.schemas.registrations import Application, RegistrationMade
from app.schemas.seats import SeatRead

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who stands at the entrance, and what they bring."""

    request: Request
    claims: Credential
    key: RequestKey | None
    admissions: GroupCommit[Application, RegistrationMade]
    seatings: GroupCommit[Application, SeatRead]
    place: Place

    async def apply(self, event_id: int) -> RegistrationMade:
        """Wait with all the others for the decision, and say where a new registration can be read."""
        made = await self._decided(self.admissions, event_id)
        self.place("read_registration", registration_id=made.id)
        return made

    async def take_seat(self, session_id: int) -> SeatRead:
        """Wait with all the others for the decision, and say where the session can be read."""
        seat = await self._decided(self.seatings, session_id)
        self.place("read_session", session_id=seat.session_id)
        return seat

    async def _decided(self, queue: GroupCommit[Application, Made], wanted_id: int) -> Made:
        with noting_use(self.request, self.claims):
            return await queue.submit(Application(self.claims, wanted_id, self.key))


class EntranceForBearer(Bearer):
    """Let whoever carries a token come to the entrance.

    One dependency and not four: FastAPI's work on each costs a rush as much as reading the token does.
    """

    async def __call__(  # type: ignore[override]
        self, request: Request, response: Response, key: GivenKey = None
    ) -> Entrance:
        """Read what a request for a place or a seat brings, without asking the database."""
        return self._entrance(request, await request_key(request, key), response.headers)

    def read_plain(self, request: Request, answer: PlainAnswer) -> Entrance | None:
        """Read what a request without a key brings."""
        if "idempotency-key" in request.headers:
            return None
        return self._entrance(request, None, answer.headers)

    def _entrance(self, request: Request, key: RequestKey | None, headers: MutableHeaders) -> Entrance:
        state = request.app.state
        place = placing(request.app, headers)
        return Entrance(request, self.require(request), key, state.admissions, state.seatings, place)


AtTheEntrance = Annotated[Entrance, Depends(EntranceForBearer())]
