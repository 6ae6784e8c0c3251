"""Pages of a list: which one is asked for, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LAST_PAGE = 1_000_000
LARGEST_PAGE = 100
COUNTED_AT_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page, from 1, and how many items on it."""

    page: int = 1
    size: int = 10

    @property
    def offset(self) -> int:
        """Count the items before the page."""
        return (self.page - 1) * self.size


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """One page of a list: its items and how many there are in all.

    ``total`` is exact while ``total_exact`` says so; past ``COUNTED_AT_MOST`` matches it stops counting.
    """

    items: Sequence[T]
    total: int
    total_exact: bool
    page: int
    size: int
