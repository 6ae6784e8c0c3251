"""Pages of lists."""

from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from app.core.pagination import LARGEST_PAGE, LAST_PAGE, LONGEST_CURSOR, Cursors, Paging
from app.core.security import Seals
from app.schemas.fields import Output

Item = TypeVar("Item")


class PageQuery(BaseModel):
    """Which page of a list, as query parameters."""

    # Those who ask the same share the answer.
    model_config = ConfigDict(frozen=True)

    page: int = Field(1, ge=1, le=LAST_PAGE, description="From 1. Without effect beside `cursor`.")
    size: int = Field(10, ge=1, le=LARGEST_PAGE, description="Items on a page.")
    cursor: str | None = Field(
        None,
        max_length=LONGEST_CURSOR,
        description="The `next_cursor` of the page before, to walk through the list without missing or "
        "repeating anything while it changes. It goes with the same filters and order.",
    )

    _paging: Paging | None = PrivateAttr(None)

    def located(self, path: str, seals: Seals) -> Self | None:
        """Find the place in the list at ``path`` that the cursor names; None if it names none there."""
        filters = self.model_dump_json(exclude={"page", "size", "cursor"})
        cursors = Cursors(seals, f"{path}?{filters}")
        start = None if self.cursor is None else cursors.read(self.cursor)
        if start is None and self.cursor is not None:
            return None
        self._paging = Paging(start.page if start else self.page, self.size, start, cursors)
        return self

    @property
    def paging(self) -> Paging:
        """Say the same without HTTP."""
        return self._paging or Paging(self.page, self.size)


class Page(Output, Generic[Item]):
    """One page of a list that may grow without bound."""

    items: list[Item]
    total: int = Field(description="How many match; see `total_exact`.")
    total_exact: bool = Field(
        description="False when more than 10,000 match a filter: `total` is 10,000 then."
    )
    page: int
    size: int
    next_cursor: str | None = Field(
        description="What to send as `cursor` for the next page; null at the end."
    )
