"""Pages of lists."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.core.pagination import LARGEST_PAGE, LAST_PAGE, Paging
from app.schemas.fields import Output

Item = TypeVar("Item")


class PageQuery(BaseModel):
    """Which page of a list, as query parameters."""

    # Those who ask the same share the answer.
    model_config = ConfigDict(frozen=True)

    page: int = Field(1, ge=1, le=LAST_PAGE, description="From 1.")
    size: int = Field(10, ge=1, le=LARGEST_PAGE, description="Items on a page.")

    @property
    def paging(self) -> Paging:
        """Say the same without HTTP."""
        return Paging(self.page, self.size)


class Page(Output, Generic[Item]):
    """One page of a list that may grow without bound."""

    items: list[Item]
    total: int = Field(description="How many match; see `total_exact`.")
    total_exact: bool = Field(
        description="False when more than 10,000 match a filter: `total` is 10,000 then."
    )
    page: int
    size: int
