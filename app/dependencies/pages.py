"""Which page of a list a request asks for."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request

from app.core.exceptions import InvalidRequest
from app.schemas.pages import PageQuery

Wanted = TypeVar("Wanted", bound=PageQuery)


def _reader(kind: type[Wanted]) -> Callable[..., Any]:
    async def read(request: Request, wanted: Annotated[kind, Query()]) -> Wanted:  # type: ignore[valid-type]
        located: Wanted | None = wanted.located(  # type: ignore[attr-defined]
            request.url.path, request.app.state.cursor_seals
        )
        if located is None:
            detail = "this is not a next_cursor of this list with these filters and this order; begin anew"
            raise InvalidRequest(
                f"query/cursor: {detail}.", errors=[{"pointer": "query/cursor", "detail": detail}]
            )
        return located

    return read


def paged(kind: type[PageQuery]) -> Any:
    """Read the query of a list, and find the place that its cursor names."""
    return Depends(_reader(kind))
