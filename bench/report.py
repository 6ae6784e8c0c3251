"""What came of a suite: its table, the bounds that were missed, and the runs that were broken."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from rich.table import Table

from bench.load import BrokenRunError


class Row(NamedTuple):
    """Two figures, and how the first must stand to the second."""

    label: str
    ours: str
    other: str
    ratio: float
    least: float = 0.0
    most: float | None = None

    @property
    def bound(self) -> str:
        """Say what the ratio must be."""
        if self.most is not None:
            return f"at most {self.most:g}"
        return f"at least {self.least:g}" if self.least else ""

    @property
    def holds(self) -> bool:
        """Tell whether it is."""
        return self.least <= self.ratio and (self.most is None or self.ratio <= self.most)


@dataclass
class Report:
    """What came of a suite."""

    table: Table
    misses: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @classmethod
    def of_pairs(cls, title: str, *, ours: str = "figure", other: str = "beside") -> Self:
        """Begin a report of figures, each with another beside it."""
        table = Table("Measure", ours, other, "ratio", "must be", "", title=title)
        for column in table.columns[1:4]:
            column.justify = "right"
        return cls(table)

    def add(self, rows: Iterable[Row], *, judged: bool, of: str = "") -> None:
        """Add rows, and note the bounds that they miss, if they are ``judged``, as those ``of`` something."""
        for row in rows:
            verdict = ("holds" if row.holds else "misses") if row.bound else ""
            self.table.add_row(row.label, row.ours, row.other, f"{row.ratio:.2f}", row.bound, verdict)
            if judged and not row.holds:
                self.misses.append(f"{of}{row.label}: {row.ratio:.2f}, not {row.bound}")

    def end_broken(self, suite: str, error: BrokenRunError) -> Self:
        """Say that there are no figures, and why."""
        self.table.add_row("all of it", "broken")
        self.broken.append(f"{suite}: {error}")
        return self
