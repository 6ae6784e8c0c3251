"""Passwords and access tokens, without HTTP."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
import tracemalloc
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwe, jwt
from jose.constants import ALGORITHMS
from jose.exceptions import JWKError

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


# What the libraries beneath have been open to


def pair_of_keys() -> list[str]:
    """Return the public halves of key pairs, in the forms in which they are handed around."""
    forms = [
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
    ]
    publics: list[Any] = [
        rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
    ]
    return [public.public_bytes(*form).decode() for public in publics for form in forms]


def test_the_public_half_of_a_pair_is_no_key_to_sign_with() -> None:
    """CVE-2024-33663: a public key taken for an HMAC secret, which everybody then knows."""
    for public in pair_of_keys():
        with pytest.raises(JWKError):
            Tokens(public, timedelta(minutes=5))


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "RS256", "ES256", "HS384", "dir", None, 256, ["HS256"]]
)
def test_no_algorithm_but_ours_is_believed_even_over_the_right_signature(alg: Any) -> None:
    head, claims, _ = Tokens(SECRET, timedelta(minutes=5)).issue(ANA).split(".")
    head = segment(json.dumps({"alg": alg, "typ": "JWT"}))
    right = hmac.new(SECRET.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    for signature in (segment(right), ""):
        assert Tokens(SECRET, timedelta(minutes=5)).read(f"{head}.{claims}.{signature}") is None


def test_a_token_names_no_key_and_brings_none() -> None:
    theirs = "another-key-0123456789-abcdefghijklmnopq"
    brought = {
        "jwk": {"kty": "oct", "k": segment(theirs)},
        "jku": "https://elsewhere.example/keys",
        "x5u": "https://elsewhere.example/chain",
        "x5c": [segment(theirs)],
        "kid": "../../../dev/null",
    }
    now = int(time.time())
    claims = {"sub": ANA.sub, "uid": ANA.uid, "ver": ANA.ver, "sid": ANA.sid, "iat": now, "exp": now + 60}
    tokens = Tokens(SECRET, timedelta(minutes=5))
    assert tokens.read(jwt.encode(claims, theirs, headers=brought)) is None
    assert tokens.read(jwt.encode(claims, SECRET, headers=brought)) == ANA


def test_an_encrypted_token_is_not_opened_however_much_is_in_it() -> None:
    """CVE-2024-33664: a few kilobytes that become gigabytes once they are decrypted."""
    key = SECRET[:32]
    bomb = jwe.encrypt(b"0" * 50_000_000, key, ALGORITHMS.A256GCM, ALGORITHMS.DIR, zip="DEF").decode()
    assert len(bomb) < 100_000
    tokens = Tokens(key, timedelta(minutes=5))
    tracemalloc.start()
    assert tokens.read(bomb) is None
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2_000_000


def test_the_service_cannot_decrypt_at_all() -> None:
    imported = "import sys, app.main; print('jose.jwe' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", imported], check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"


def test_a_password_counts_to_its_end_past_72_bytes_and_past_a_nul() -> None:
    hasher = PasswordHasher()
    for one, other in [("🎉" * 127 + "a", "🎉" * 127 + "b"), ("nul\0a", "nul\0b"), ("nul\0", "nul")]:
        stored = hasher.hash(one)
        assert hasher.verify(one, stored)
        assert not hasher.verify(other, stored)


def test_the_longest_password_takes_no_longer_than_a_short_one() -> None:
    hasher = PasswordHasher()

    def least(password: str) -> float:
        spent = []
        for _ in range(3):
            began = time.process_time()
            hasher.hash(password)
            spent.append(time.process_time() - began)
        return min(spent)

    assert least("🎉" * 128) < 2 * least("8 signs.")


def segment(data: str | bytes) -> str:
    raw = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
