"""Local times, at both changes of clocks and where clocks never change."""

from datetime import UTC, datetime

import pytest

from app.core.zones import instant_of, local_of


def test_a_local_time_that_clocks_skip_is_read_with_the_offset_from_before() -> None:
    # At midnight clocks went on to 01:00, from UTC-4 to UTC-3.
    assert instant_of(datetime.fromisoformat("2031-09-07T00:30"), "America/Santiago") == datetime(
        2031, 9, 7, 4, 30, tzinfo=UTC
    )


def test_a_local_time_that_clocks_show_twice_is_the_first() -> None:
    assert instant_of(datetime.fromisoformat("2031-10-26T02:30"), "Europe/Madrid") == datetime(
        2031, 10, 26, 0, 30, tzinfo=UTC
    )


@pytest.mark.parametrize("month", range(1, 13))
def test_where_clocks_never_change_the_offset_is_always_the_same(month: int) -> None:
    noon = datetime.fromisoformat(f"2031-{month:02}-15T12:00")
    assert instant_of(noon, "America/Bogota") == datetime(2031, month, 15, 17, 0, tzinfo=UTC)
    assert local_of(datetime(2031, month, 15, 17, 0, tzinfo=UTC), "America/Bogota") == noon


@pytest.mark.parametrize("zone", ["America/Santiago", "Europe/Madrid", "America/Bogota", "UTC"])
@pytest.mark.parametrize("hour", range(24))
def test_a_local_time_that_exists_once_comes_back(zone: str, hour: int) -> None:
    local = datetime.fromisoformat(f"2031-06-15T{hour:02}:30")
    assert local_of(instant_of(local, zone), zone) == local
