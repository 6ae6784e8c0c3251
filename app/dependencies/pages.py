"""Which page of a list a request asks for."""

from functools import lru_cache
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from pydantic import ValidationError
from starlette.datastructures import QueryParams

from app.core.exceptions import InvalidRequest
from app.core.security import Seals
from app.schemas.pages import PageQuery

NO_CURSOR = "this is not a next_cursor of this list with these filters and this order; begin anew"

PLAIN_QUERIES = 256

Wanted = TypeVar("Wanted", bound=PageQuery)


def paged(kind: type[Wanted]) -> Any:
    """Read the query of a list, and find the place that its cursor names."""

    # A query says the same each time, and what it says cannot be changed.
    @lru_cache(maxsize=PLAIN_QUERIES)
    def read(path: str, query: bytes, seals: Seals) -> PageQuery | None:
        try:
            wanted: PageQuery = kind.model_validate(dict(QueryParams(query)))
        except ValidationError:
            return None
        return wanted.located(path, seals)

    class Reader:
        """Read a query of this kind."""

        async def __call__(
            self,
            request: Request,
            wanted: Annotated[kind, Query()],  # type: ignore[valid-type]
        ) -> Wanted:
            """Read it, or say what is wrong with it."""
            located: Wanted | None = wanted.located(  # type: ignore[attr-defined]
                request.scope["path"], request.app.state.cursor_seals
            )
            if located is None:
                raise InvalidRequest(
                    f"query/cursor: {NO_CURSOR}.", errors=[{"pointer": "query/cursor", "detail": NO_CURSOR}]
                )
            return located

        def read_plain(self, request: Request, _: object) -> PageQuery | None:
            """Read one that nothing is wrong with."""
            return read(request.scope["path"], request.scope["query_string"], request.app.state.cursor_seals)

    return Depends(Reader())
