"""Passwords and access tokens, without HTTP."""

from datetime import timedelta
from itertools import pairwise

import pytest

from app.core.security import ApiKeys, Claims, PasswordHasher, RefreshToken, Tokens, digest_of
from app.tests.conftest import SECRET

ANA = Claims(uid=7, sub="ana@example.com", ver=1, sid=9)


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


def test_a_hash_says_whether_it_was_made_as_hashes_are_now() -> None:
    now = PasswordHasher(memory_kib=20_000, passes=3, lanes=2)
    assert now.made(now.hash("the same password"))
    for other in (
        PasswordHasher(memory_kib=20_001, passes=3, lanes=2),
        PasswordHasher(memory_kib=20_000, passes=2, lanes=2),
        PasswordHasher(memory_kib=20_000, passes=3, lanes=1),
    ):
        stored = other.hash("the same password")
        assert now.verify("the same password", stored)
        assert not now.made(stored)


def test_refresh_tokens_of_a_family_have_its_name_and_a_secret_each() -> None:
    first = RefreshToken.new()
    second = first.next()
    assert RefreshToken.read(str(second)) == second
    assert (second.family_digest, len(second.digest)) == (first.family_digest, 32)
    assert len({first.digest, second.digest, RefreshToken.new().family_digest, first.family_digest}) == 4
    assert (str(first)[4:47], str(first)[47:]) != (str(second)[4:47], str(second)[47:])


@pytest.mark.parametrize("text", ["", "mer_", "mer_" + "a" * 85, "mer_" + "a" * 87, "mer_" + "é" * 86])
def test_what_is_no_refresh_token_is_none(text: str) -> None:
    assert RefreshToken.read(text) is None


def test_no_secret_is_in_what_is_shown_of_a_refresh_token() -> None:
    token = RefreshToken.new()
    assert repr(token) == "RefreshToken()"


def test_a_key_says_whose_it_is_and_shows_little_of_its_secret() -> None:
    key = ApiKeys.new(7)
    claims = ApiKeys.read(key, frozenset({"read"}))
    assert claims is not None
    assert (claims.uid, claims.digest) == (7, digest_of(key))
    assert (claims.reaches(["write"]), claims.reaches(["write", "read"])) == (False, True)
    shown = ApiKeys.shown(key)
    assert (key.startswith(shown), shown.startswith("mek_7_"), len(shown)) == (True, True, len("mek_7_") + 6)


@pytest.mark.parametrize(
    "key",
    ["mek_", "mek_0_" + "a" * 43, "mek_1_" + "a" * 42, "mek_2147483648_" + "a" * 43, "mek_1_" + "ñ" * 43],
)
def test_what_is_no_key_is_none(key: str) -> None:
    assert ApiKeys.read(key, frozenset()) is None


def test_a_token_says_again_what_it_was_issued_for() -> None:
    tokens = Tokens(SECRET, timedelta(minutes=5))
    assert tokens.read(tokens.issue(ANA)) == ANA


def test_a_token_ends_when_its_time_is_over() -> None:
    tokens = Tokens(SECRET, timedelta(seconds=-1))
    assert tokens.read(tokens.issue(ANA)) is None
