"""How often a search finds what is meant: a fixed set of names, and of what people write to find them."""

import tomllib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.core.settings import PROJECT

FILE = PROJECT / "app" / "tests" / "data" / "search_queries.toml"
AMONG = 3
MOST_MISSED = 3


class Query(NamedTuple):
    """What is written, the name that is meant, and what makes it hard."""

    search: str
    meant: str
    kind: str


def read() -> tuple[list[str], list[Query]]:
    """Return the names and the queries."""
    kinds = tomllib.loads(FILE.read_text(encoding="utf-8"))
    names = kinds.pop("names")
    return names, [Query(search, meant, kind) for kind, queries in kinds.items() for search, meant in queries]


def missed(queries: Sequence[Query], find: Callable[[str], Sequence[str]]) -> list[Query]:
    """Return the queries for which ``find`` does not name what is meant among the first three."""
    return [query for query in queries if query.meant not in find(query.search)[:AMONG]]
