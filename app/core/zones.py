"""Local times and instants. An instant is stored; a zone only decides how it is shown."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def instant_of(local: datetime, zone: str) -> datetime:
    """Return the instant, in UTC, at which a clock in ``zone`` shows ``local``, which has no zone itself.

    A time that clocks skip is read with the offset from before the change, and one that they show twice is
    the first of the two (RFC 5545, section 3.3.5).
    """
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def local_of(instant: datetime, zone: str) -> datetime:
    """Return what a clock in ``zone`` shows at ``instant``, without a zone."""
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
