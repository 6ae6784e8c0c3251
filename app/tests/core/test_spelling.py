"""How far two spellings are apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.spelling import is_likely, slips

WORDS = st.text("abc", max_size=6)


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("concierto", "concierto", 0),
        ("concieto", "concierto", 1),
        ("conncierto", "concierto", 1),
        ("comcierto", "concierto", 1),
        ("nigths", "nights", 1),
        ("festivla", "festival", 1),
        ("ba", "ab", 1),
        ("ca", "abc", 3),
        ("gato", "perro", 4),
    ],
)
def test_slips_are_counted(one: str, other: str, count: int) -> None:
    assert slips(one, other) == count


@given(WORDS, WORDS)
def test_slips_are_as_many_there_as_back_and_none_only_from_a_word_to_itself(one: str, other: str) -> None:
    assert slips(one, other) == slips(other, one)
    assert (slips(one, other) == 0) == (one == other)
    assert abs(len(one) - len(other)) <= slips(one, other) <= max(len(one), len(other))


@given(WORDS, st.integers(0, 5), st.sampled_from("abc"))
def test_one_slip_is_one(word: str, place: int, letter: str) -> None:
    assert slips(word[:place] + letter + word[place:], word) == 1
    swapped = word[:place] + word[place : place + 2][::-1] + word[place + 2 :]
    assert slips(swapped, word) == (swapped != word)


def test_a_long_word_may_have_two_slips_and_a_short_one_only_one() -> None:
    assert is_likely("fsetivla", "festival")
    assert is_likely("lma", "lima")
    assert not is_likely("jsas", "jazz")
    assert not is_likely("concierto", "concurso")
