"""Local times and instants. An instant is stored; a zone only decides how it is shown."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Observance(NamedTuple):
    """What the clocks of a zone show, from an instant on."""

    since: datetime
    offset: timedelta
    name: str
    is_daylight: bool


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


@lru_cache(maxsize=1_024)
def observances(zone: str, first: datetime, last: datetime) -> tuple[Observance, ...]:
    """Return what clocks in ``zone`` show from ``first`` to ``last``, anew from every change of theirs."""
    found = [_observance(zone, first)]
    moment = first
    while moment < last:
        later = min(moment + DAY, last)
        if _observance(zone, later)[1:] != found[-1][1:]:
            later = _change(zone, moment, later)
            found.append(_observance(zone, later))
        moment = later
    return tuple(found)


def _observance(zone: str, moment: datetime) -> Observance:
    local = moment.astimezone(ZoneInfo(zone))
    return Observance(moment, local.utcoffset() or timedelta(), local.tzname() or zone, bool(local.dst()))


def _change(zone: str, before: datetime, after: datetime) -> datetime:
    """Return the second of the first change between two moments that differ."""
    old = _observance(zone, before)[1:]
    while after - before > SECOND:
        middle = before + (after - before) // 2 // SECOND * SECOND
        if _observance(zone, middle)[1:] == old:
            before = middle
        else:
            after = middle
    return after
