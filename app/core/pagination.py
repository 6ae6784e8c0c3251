"""Pages of a list: which one is asked for, and what is answered."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from app.core.security import Seals

T = TypeVar("T")

LAST_PAGE = 1_000_000
LARGEST_PAGE = 100
COUNTED_AT_MOST = 10_000
LONGEST_CURSOR = 2_000

# Made once: it takes as long as to write with it.
_TO_JSON = json.JSONEncoder(default=datetime.isoformat, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a list a page begins: which page it is, and the key of the row before it.

    ``order`` names the order that the key belongs to, where a list has several that it chooses from.
    """

    page: int
    key: Sequence[Any]
    order: str = ""


@dataclass(frozen=True, slots=True)
class Cursors:
    """Write places as texts that clients carry and cannot make, and read them, all for one list.

    ``list_`` tells the list from all others: its address, its filters and its order.
    """

    seals: Seals
    list_: str

    def write(self, place: Place) -> str:
        """Return the cursor of ``place``."""
        said = [place.page, place.order, *place.key]
        return self.seals.seal(self.list_, _TO_JSON.encode(said).encode())

    def read(self, cursor: str) -> Place | None:
        """Return the place that ``cursor`` names, or None for one that is not of this list."""
        message = self.seals.open(self.list_, cursor)
        if message is None:
            return None
        page, order, *key = json.loads(message)
        return Place(page, key, order)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page, from 1, and how many items on it; or the page that begins at ``start``."""

    page: int = 1
    size: int = 10
    start: Place | None = None
    cursors: Cursors | None = None

    @property
    def offset(self) -> int:
        """Count the items before the page, from where the list is read."""
        return 0 if self.start else (self.page - 1) * self.size

    def next_cursor(self, key: Sequence[Any], order: str = "") -> str | None:
        """Write where the next page begins: after the row with ``key``."""
        return self.cursors.write(Place(self.page + 1, key, order)) if self.cursors else None


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are in all, or ``COUNTED_AT_MOST`` where more match than are counted."""

    number: int
    exact: bool = True

    @classmethod
    def bounded(cls, counted: int) -> "Total":
        """Say what a count means that stopped after ``COUNTED_AT_MOST`` and one more."""
        return cls(min(counted, COUNTED_AT_MOST), counted <= COUNTED_AT_MOST)


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """One page of a list: its items, how many there are in all, and where the next one begins.

    ``total`` is exact while ``total_exact`` says so; past ``COUNTED_AT_MOST`` matches it stops counting.
    ``next_cursor`` is None at the end of the list.
    """

    items: Sequence[T]
    total: int
    total_exact: bool
    page: int
    size: int
    next_cursor: str | None = None
