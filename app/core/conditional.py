"""Conditional requests (RFC 9110, section 13): what was answered has a tag, and a request can name it.

A tag is ``"version.state"``. The version counts the edits of one thing, and is 0 for what has none, as a
list; the state is a digest of the whole answer. Reading compares both, and writing the version only, so
that a sale does not stop an edit. A compressed answer carries the tag with ``-gzip`` at its end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from app.core.exceptions import PreconditionFailed

COMPRESSED = "-gzip"

LONGEST_TAGS = 4_096
"""Of the headers that name tags, in characters."""

_TAG = re.compile(r'(W/)?"([^"]*)"')
_VERSION = re.compile(r"[0-9]+(?=\.)", re.ASCII)


def tag(version: int, body: bytes) -> str:
    """Return the tag of an answer."""
    return f'"{version}.{blake2b(body, digest_size=8).hexdigest()}"'


def compressed(plain: str) -> str:
    """Return the tag of an answer that carries ``plain``, once it is compressed."""
    return plain.removesuffix('"') + COMPRESSED + '"'


def known(current: str, if_none_match: str | None) -> str | None:
    """Return ``current`` as the reader who has it named it, or None for one who has something else."""
    if if_none_match is None:
        return None
    if if_none_match in {current, "*"}:
        return current
    name = current.strip('"')
    for _, other in _tags(if_none_match):
        if other.removesuffix(COMPRESSED) == name:
            return f'"{other}"'
    return None


@dataclass(frozen=True, slots=True)
class Expected:
    """Which version of a thing a write is meant for."""

    if_match: str | None

    def ensure(self, version: int) -> None:
        """Refuse a write that is meant for another version.

        Raises:
            PreconditionFailed: the thing has been edited since.

        """
        if self.if_match is None or self.if_match.strip() == "*":
            return
        # A weak tag never matches: it does not promise that what it names is the same.
        strong = (_VERSION.match(name) for weak, name in _tags(self.if_match) if not weak)
        if all(found is None or int(found[0]) != version for found in strong):
            raise PreconditionFailed


WHATEVER = Expected(None)
"""No precondition: the write goes ahead."""


def _tags(header: str) -> Iterator[tuple[str, str]]:
    parts = (_TAG.fullmatch(part.strip()) for part in header.split(","))
    return ((found[1] or "", found[2]) for found in parts if found)
