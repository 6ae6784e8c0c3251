"""Which passwords are too easy to guess, however well they are kept."""

from functools import cache
from pathlib import Path

SHORTEST = 8
SHORTEST_WORD = 3


@cache
def _common() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def is_common(password: str) -> bool:
    """Tell whether many people have this password, in whatever case it is written."""
    return password.lower() in _common()


def is_about(password: str, *known: str | None) -> bool:
    """Tell whether too little of a password is left without what is ``known``: an address, a name."""
    rest = password.lower()
    parts = {"".join(c if c.isalnum() else " " for c in text.lower()) for text in known if text}
    words = {word for part in parts for word in part.split() if len(word) >= SHORTEST_WORD}
    # The longest first: "ana" is in "anaconda".
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != password.lower() and len(rest) < SHORTEST
