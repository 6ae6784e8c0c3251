"""Documents to download whole, which are written only for who has not got them as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

from starlette.responses import Response


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
        """Return a strong entity tag (RFC 9110, section 8.8.3)."""
        return f'"{sha256(self.state.encode()).hexdigest()}"'


def document_response(document: Document, known: str | None) -> Response:
    """Send ``document``, or 304 to who names its tag in ``known``, an If-None-Match."""
    headers = {"ETag": document.tag}
    if document.private:
        headers["Cache-Control"] = "private"
    if known is not None and _names(known, document.tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(document.write(), media_type=document.media_type, headers=headers)


def _names(known: str, tag: str) -> bool:
    # Compared weakly, as RFC 9110 has it; a server in front that compresses may have marked the tag so.
    tags = {part.strip().removeprefix("W/").replace('-gzip"', '"') for part in known.split(",")}
    return not tags.isdisjoint({tag, "*"})
