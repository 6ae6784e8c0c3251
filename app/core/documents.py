"""Documents to download whole, which are written only for who has not got them as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from app.core import conditional


@dataclass(frozen=True, slots=True)
class Document:
    """Something that can be told apart from its other states before it is written.

    ``state`` holds all that ``write`` goes by: the same state is the same bytes.
    """

    media_type: str
    state: str
    write: Callable[[], bytes]
    private: bool = False

    @property
    def tag(self) -> str:
        """Return the tag of what would be written."""
        return conditional.tag(0, self.state.encode())


def document_response(document: Document, known: str | None) -> Response:
    """Send ``document``, or 304 to who names its tag in ``known``, an If-None-Match."""
    had = conditional.known(document.tag, known)
    headers = {
        "ETag": had or document.tag,
        "Cache-Control": "private, no-cache" if document.private else "no-cache",
    }
    if had is not None:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(document.write(), media_type=document.media_type, headers=headers)
