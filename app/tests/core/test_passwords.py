"""Which passwords are too easy to guess."""

import pytest

from app.core.passwords import is_about, is_common


@pytest.mark.parametrize("password", ["password", "PASSWORD1", "123456789", "iloveyou", "qwertyuiop"])
def test_what_many_people_have_is_common_in_whatever_case(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize("password", ["correct horse battery", "# Copyright", "", "contraseña de Ana"])
def test_what_is_not_on_the_list_is_not_common(password: str) -> None:
    assert not is_common(password)


@pytest.mark.parametrize(
    ("password", "known"),
    [
        ("ana.gomez@example.com", ["ana.gomez@example.com"]),
        ("Gómez-1990", ["ana@example.com", "Ana Gómez"]),
        ("example-2026", ["ana@example.com", None]),
        ("anaconda", ["ana@anaconda.org"]),
    ],
)
def test_a_password_of_little_more_than_its_owner_is_about_them(
    password: str, known: list[str | None]
) -> None:
    assert is_about(password, *known)


@pytest.mark.parametrize(
    ("password", "known"),
    [
        ("ana has nine lives", ["ana@example.com"]),
        ("x1y2z3w4", ["ana@example.com", "X Y"]),
        ("short", []),
        ("correct horse", [None, ""]),
    ],
)
def test_a_password_with_enough_beside_its_owner_is_not(password: str, known: list[str | None]) -> None:
    assert not is_about(password, *known)
