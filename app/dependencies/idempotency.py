"""Requests that carry an Idempotency-Key are served once, however often they are sent."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from app.core.database import Database
from app.core.exceptions import IdempotencyKeyReused, InvalidRequest, RequestInProgress
from app.crud import idempotency
from app.dependencies.auth import CurrentUser
from app.dependencies.database import Db
from app.dependencies.straight import StraightRoute
from app.schemas.idempotency import Answer, RequestKey, Slot

LONGEST_PATH = 255

GivenKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Send the same key again and get the same answer, with no second effect, for 24 hours.",
    ),
]


class _Replayed(Exception):  # noqa: N818 - no failure: the answer is there already
    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class OnceRoute(StraightRoute):
    """Keep the answer to a request with a key in the transaction of its effect, and give it again."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Wrap the handler, inside the transaction that the request's dependencies opened."""
        serve = super().get_route_handler()

        async def serve_once(request: Request) -> Response:
            try:
                response = await serve(request)
            except _Replayed as replayed:
                return _response(replayed.answer)
            remember = getattr(request.state, "remember", None)
            if remember is not None:
                await run_in_threadpool(remember, response)
            return response

        return serve_once


async def request_key(request: Request, key: GivenKey = None) -> RequestKey | None:
    """Read the key and what it is bound to."""
    if key is None:
        return None
    if len(request.url.path) > LONGEST_PATH:
        raise InvalidRequest(
            "A request with an Idempotency-Key needs a shorter path; write ids without zeros."
        )
    digest = sha256(await request.body()).digest()
    return RequestKey(key=key, method=request.method, path=request.url.path, digest=digest)


Key = Annotated[RequestKey | None, Depends(request_key)]


async def once(request: Request, key: Key, actor: CurrentUser, db: Db) -> None:
    """Answer a request that was served under its key, and see to it that a new one is kept."""
    if key is None:
        return
    slot = key.slot(actor.id)
    answer = await run_in_threadpool(_claim, db, slot, key.digest)
    if answer is not None:
        raise _Replayed(answer)

    def remember(response: Response) -> None:
        location = response.headers.get("location")
        kept = Answer(status=response.status_code, body=bytes(response.body), location=location)
        idempotency.remember(db, {slot: (key.digest, kept)})

    request.state.remember = remember


ServedOnce = Depends(once)


def _claim(db: Database, slot: Slot, digest: bytes) -> Answer | None:
    if not idempotency.claim(db, slot):
        raise RequestInProgress
    before, answer = idempotency.map_answers(db, [slot]).get(slot, (digest, None))
    if before != digest:
        raise IdempotencyKeyReused
    return answer


def _response(answer: Answer) -> Response:
    headers = {"Location": answer.location} if answer.location else {}
    return Response(answer.body, answer.status, headers, media_type="application/json")
