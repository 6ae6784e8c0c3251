"""Documents to download whole, which are written only for who has not got them as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core import conditional
from app.core.gate import Threads


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


class _Unwritten(Response):
    """A document that is written once its transaction has ended, in its turn among those being written."""

    def __init__(self, document: Document, headers: dict[str, str]) -> None:
        super().__init__(media_type=document.media_type, headers=headers)
        self._document = document
        self._given = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the document and send it."""
        body = await _paperwork(scope).run(self._document.write)
        await Response(body, self.status_code, self._given, self.media_type)(scope, receive, send)


def _paperwork(scope: Scope) -> Threads:
    found: Threads = scope["app"].state.paperwork
    return found


def document_response(document: Document, known: str | None) -> Response:
    """Send ``document``, or 304 to who names its tag in ``known``, an If-None-Match."""
    had = conditional.known(document.tag, known)
    headers = {
        "ETag": had or document.tag,
        "Cache-Control": "private, no-cache" if document.private else "no-cache",
    }
    if had is not None:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return _Unwritten(document, headers)
