"""Which page of a list a request asks for."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from pydantic import ValidationError
from starlette.datastructures import MutableHeaders

from app.core.exceptions import InvalidRequest
from app.schemas.pages import PageQuery

NO_CURSOR = "this is not a next_cursor of this list with these filters and this order; begin anew"

Wanted = TypeVar("Wanted", bound=PageQuery)


def paged(kind: type[Wanted]) -> Any:
    """Read the query of a list, and find the place that its cursor names."""

    class Reader:
        """Read a query of this kind."""

        async def __call__(
            self,
            request: Request,
            wanted: Annotated[kind, Query()],  # type: ignore[valid-type]
        ) -> Wanted:
            """Read it, or say what is wrong with it."""
            located = self._locate(request, wanted)
            if located is None:
                raise InvalidRequest(
                    f"query/cursor: {NO_CURSOR}.", errors=[{"pointer": "query/cursor", "detail": NO_CURSOR}]
                )
            return located

        def read_plain(self, request: Request, _: MutableHeaders) -> Wanted | None:
            """Read one that nothing is wrong with."""
            try:
                return self._locate(request, kind.model_validate(dict(request.query_params)))
            except ValidationError:
                return None

        @staticmethod
        def _locate(request: Request, wanted: Wanted) -> Wanted | None:
            return wanted.located(request.url.path, request.app.state.cursor_seals)

    return Depends(Reader())
