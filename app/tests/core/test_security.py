"""Passwords and access tokens, without HTTP."""

from datetime import timedelta
from itertools import pairwise

import pytest

from app.core.security import Claims, PasswordHasher, Tokens
from app.tests.conftest import SECRET

ANA = Claims(uid=7, sub="ana@example.com", ver=1)


@pytest.mark.parametrize("password", ["x" * 128, "ñandú 🎉 contraseña", " spaces count ", "12345678"])
def test_a_hash_opens_for_its_own_password_only(password: str) -> None:
    hasher = PasswordHasher()
    stored = hasher.hash(password)
    assert hasher.verify(password, stored)
    assert not hasher.verify(password + "x", stored)
    assert not hasher.verify(password.strip() + "\t", stored)


def test_no_two_hashes_of_one_password_are_alike() -> None:
    hasher = PasswordHasher()
    hashes = sorted(hasher.hash("the same password") for _ in range(4))
    assert all(one != other for one, other in pairwise(hashes))


def test_nobodys_password_opens_nothing_not_even_the_stand_in() -> None:
    hasher = PasswordHasher()
    assert not hasher.verify("nobody has this password", None)


def test_a_token_says_again_what_it_was_issued_for() -> None:
    tokens = Tokens(SECRET, timedelta(minutes=5))
    assert tokens.read(tokens.issue(ANA)) == ANA


def test_a_token_ends_when_its_time_is_over() -> None:
    tokens = Tokens(SECRET, timedelta(seconds=-1))
    assert tokens.read(tokens.issue(ANA)) is None
