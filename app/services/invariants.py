"""Whether the database is sound: every rule that must never be broken, asked of the rows themselves."""

from dataclasses import dataclass

from app.core.database import Database
from app.crud.invariants import INVARIANTS, find_broken

SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is broken: how often, and the ids of the first few rows."""

    name: str
    meaning: str
    count: int
    samples: list[int]


def check(db: Database) -> list[Breach]:
    """Return every rule that is broken; in a sound database there is none.

    Give it a snapshot (``Store.snapshot``) while others write: the rules are asked one after the other,
    and would otherwise be asked of different moments.
    """
    found = [(invariant, *find_broken(db, invariant, SAMPLES)) for invariant in INVARIANTS]
    return [
        Breach(invariant.name, invariant.meaning, count, samples)
        for invariant, count, samples in found
        if count
    ]
