"""Cursors and the seals on them, without HTTP."""

from datetime import UTC, datetime

import pytest

from app.core.pagination import COUNTED_AT_MOST, Cursors, Paging, Place, Total
from app.core.security import Claims, Seals, Tokens
from app.tests.conftest import SECRET
from app.tests.factories import DAY

SEALS = Seals(SECRET, "cursors")
HERE = Cursors(SEALS, "/events?{}")


def test_what_is_sealed_opens_in_its_own_context_and_nowhere_else() -> None:
    sealed = SEALS.seal("here", b"message")
    assert SEALS.open("here", sealed) == b"message"
    assert SEALS.open("there", sealed) is None
    assert Seals(SECRET, "other").open("here", sealed) is None
    assert Seals(SECRET + "x", "cursors").open("here", sealed) is None
    # Where a context ends and the message begins is sealed, too.
    assert SEALS.open("her", SEALS.seal("here", b"x")) is None


def test_what_was_changed_anywhere_does_not_open() -> None:
    sealed = SEALS.seal("here", b"a message of some length")
    for place, letter in enumerate(sealed):
        for other in ("A", "_", "é", "=", "!", "\n", ""):
            changed = sealed[:place] + other + sealed[place + 1 :]
            assert (SEALS.open("here", changed) is None) == (other != letter)


@pytest.mark.parametrize("text", ["", "=", "A", "AAAA", "é", "💥", "\0", " ", "%00", "A" * 2_000])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    assert SEALS.open("here", text) is None


def test_a_token_is_no_seal_and_a_seal_no_token() -> None:
    tokens = Tokens(SECRET, DAY)
    token = tokens.issue(Claims(uid=7, sub="ana@example.com", ver=1, sid=1))
    assert SEALS.open("", token) is None
    assert tokens.read(SEALS.seal("", token.encode())) is None


@pytest.mark.parametrize("key", [[7], ['Ñandú " 💥', 7], [0, 2**31 - 1]])
def test_a_cursor_says_again_where_a_page_begins(key: list[object]) -> None:
    place = Place(3, key, "closest")
    assert HERE.read(HERE.write(place)) == place
    assert Cursors(SEALS, "/users?{}").read(HERE.write(place)) is None


def test_a_cursor_keeps_a_time_to_the_microsecond() -> None:
    moment = datetime(2031, 3, 1, 9, 30, 0, 123_456, UTC)
    place = HERE.read(HERE.write(Place(2, [moment, 7])))
    assert place is not None
    assert datetime.fromisoformat(place.key[0]) == moment


def test_a_page_by_number_begins_after_those_before_it_and_one_by_cursor_where_the_cursor_says() -> None:
    assert Paging(3, 10).offset == 20
    assert Paging(3, 10, Place(3, [7])).offset == 0


def test_a_count_that_went_past_its_bound_is_not_exact() -> None:
    assert Total.bounded(COUNTED_AT_MOST) == Total(COUNTED_AT_MOST, exact=True)
    assert Total.bounded(COUNTED_AT_MOST + 1) == Total(COUNTED_AT_MOST, exact=False)
