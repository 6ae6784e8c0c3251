"""Local times and instants. An instant is stored; a zone only decides how it is shown."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def instant_of(local: datetime, zone: str) -> datetime:
    """Return the instant, in UTC, at which a clock in ``zone`` shows ``local``, which has no zone itself.

    A time that clocks skip is read with the offset from before the change, and one that they show twice is
    the first of the two (RFC 5545, section 3.3.5).
    """
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def same_local(instant: datetime, zone: str, new_zone: str) -> datetime:
    """Return the instant at which a clock in ``new_zone`` shows what one in ``zone`` shows at ``instant``."""
    return instant_of(local_of(instant, zone), new_zone)


def keep_local(start_at: datetime, end_at: datetime, zone: str, new_zone: str) -> tuple[datetime, datetime]:
    """Return the times that show on clocks in ``new_zone`` what these show on clocks in ``zone``.

    Where a change of clocks would leave nothing in between, or less, it is as long as it was.
    """
    start, end = same_local(start_at, zone, new_zone), same_local(end_at, zone, new_zone)
    return (start, end) if start < end else (start, start + (end_at - start_at))


def local_of(instant: datetime, zone: str) -> datetime:
    """Return what a clock in ``zone`` shows at ``instant``, without a zone."""
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
