"""A schedule in a body, in either of its formats, read before the request's transaction begins."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import from_json

from app.core.exceptions import InvalidRequest, UnsupportedMediaType
from app.core.frab import NotAScheduleError, ensure_modest, read_xml
from app.core.gate import Threads
from app.core.security import KeyClaims
from app.dependencies.auth import ShownClaims
from app.schemas.schedules import ScheduleFile

MOST_FAULTS = 100


READERS: dict[str, Callable[[bytes], Any]] = {
    "application/json": from_json,
    "application/xml": read_xml,
    "text/xml": read_xml,
}


async def paperwork(request: Request) -> Threads:
    """Hand over the threads that read and write long documents."""
    found: Threads = request.app.state.paperwork
    return found


Paperwork = Annotated[Threads, Depends(paperwork)]


async def schedule_file(request: Request, claims: ShownClaims, paperwork: Paperwork) -> ScheduleFile:
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
    return await paperwork.run(_read, READERS[sent], await request.body())


def _read(reader: Callable[[bytes], Any], body: bytes) -> ScheduleFile:
    try:
        document = reader(body)
        ensure_modest(document)
    except NotAScheduleError as error:
        raise InvalidRequest(f"The body is no schedule: {error}.") from None
    except ValueError as error:
        raise InvalidRequest(f"The body is not JSON ({error}).") from None
    try:
        return ScheduleFile.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # Named like the faults of any body; in XML too, by where the same would be in JSON.
        named = [{**fault, "loc": ("body", *fault["loc"])} for fault in faults[:MOST_FAULTS]]
        raise RequestValidationError(named) from None


ScheduleInBody = Annotated[ScheduleFile, Depends(schedule_file)]
