"""A schedule in a body, in either of its formats, read before the request's transaction begins."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.core.exceptions import InvalidRequest, UnsupportedMediaType
from app.core.frab import NotAScheduleError, read_xml
from app.core.security import KeyClaims
from app.dependencies.auth import ShownClaims
from app.schemas.schedules import ScheduleFile

MOST_FAULTS = 100


def _from_xml(body: bytes) -> ScheduleFile:
    try:
        return ScheduleFile.model_validate(read_xml(body))
    except NotAScheduleError as error:
        raise InvalidRequest(f"The body is no schedule: {error}.") from None


READERS: dict[str, Callable[[bytes], ScheduleFile]] = {
    "application/json": ScheduleFile.model_validate_json,
    "application/xml": _from_xml,
    "text/xml": _from_xml,
}


async def schedule_file(request: Request, claims: ShownClaims) -> ScheduleFile:
    """Read the body as what its Content-Type says it is, for somebody with a token or a key."""
    if isinstance(claims, KeyClaims):
        # What looks like a key can be made up; a token is known by its signature.
        await request.app.state.views.ensure_active(claims)
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in READERS:
        raise UnsupportedMediaType(
            f"Send the schedule with 'Content-Type: application/json' or 'application/xml', "
            f"not '{sent or 'nothing'}'."
        )
    return await run_in_threadpool(_read, READERS[sent], await request.body())


def _read(reader: Callable[[bytes], ScheduleFile], body: bytes) -> ScheduleFile:
    try:
        return reader(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        if faults[0]["type"] == "json_invalid":
            raise InvalidRequest(f"The body is not JSON ({faults[0]['ctx']['error']}).") from None
        # Named like the faults of any body; in XML too, by where the same would be in JSON.
        named = [{**fault, "loc": ("body", *fault["loc"])} for fault in faults[:MOST_FAULTS]]
        raise RequestValidationError(named) from None


ScheduleInBody = Annotated[ScheduleFile, Depends(schedule_file)]
