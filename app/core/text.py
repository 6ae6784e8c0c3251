"""Text as interchange formats can carry it."""

import re

_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
# What XML 1.0 has no way to write, iCalendar neither, and some readers stumble over.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def printable(text: str) -> str:
    """Return ``text`` with every end of a line as a line feed, and without control characters."""
    return _UNPRINTABLE.sub("", _LINE_ENDS.sub("\n", text))
