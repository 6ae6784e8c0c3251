"""One's own account, and all of them for administrators."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text

from app.api import create_app
from app.core.database import Database, Store
from app.core.settings import Settings
from app.models import User
from app.models.enums import Role
from app.tests.conftest import PREFIX, SECRET, Caller
from app.tests.factories import PASSWORD, Factory, claims_of

SignedIn = Callable[[User], Caller]

NEW_PASSWORD = "another horse, another battery"


def opens(caller: Caller, email: str, password: str) -> bool:
    status: int = caller.post("/auth/login", json={"email": email, "password": password}).status_code
    return {200: True, 401: False}[status]


# One's own


def test_a_new_name_needs_no_password_and_ends_no_token(make: Factory, signed_in: SignedIn) -> None:
    user = make.user(email="ana@example.com", full_name="Ana")
    caller = signed_in(user)
    response = caller.patch("/users/me", json={"full_name": "Ana María"})
    assert response.status_code == 200
    assert response.json() == {**caller.get("/users/me").json(), "full_name": "Ana María", "token": None}


def test_a_null_name_clears_it(make: Factory, signed_in: SignedIn) -> None:
    caller = signed_in(make.user(full_name="Ana"))
    assert caller.patch("/users/me", json={"full_name": None}).json()["full_name"] is None


def test_an_empty_change_changes_nothing(make: Factory, signed_in: SignedIn) -> None:
    caller = signed_in(make.user(full_name="Ana"))
    before = caller.get("/users/me").json()
    assert caller.patch("/users/me", json={}).json() == {**before, "token": None}


@pytest.mark.parametrize("change", [{"email": "new@example.com"}, {"password": NEW_PASSWORD}], ids=str)
@pytest.mark.parametrize(
    "proof",
    [{}, {"current_password": None}, {"current_password": "not it"}, {"current_password": ""}],
    ids=str,
)
def test_a_new_email_or_password_needs_the_current_password(
    make: Factory,
    signed_in: SignedIn,
    anonymous: Caller,
    change: dict[str, str],
    proof: dict[str, str | None],
) -> None:
    caller = signed_in(make.user(email="ana@example.com", full_name="Ana"))
    response = caller.patch("/users/me", json={**change, **proof, "full_name": "Somebody else"})
    assert (response.status_code, response.json()["type"]) == (403, "/problems/wrong-password")
    account = caller.get("/users/me").json()
    assert (account["email"], account["full_name"]) == ("ana@example.com", "Ana")
    assert opens(anonymous, "ana@example.com", PASSWORD)


@pytest.mark.parametrize(
    ("change", "credentials"),
    [
        ({"email": "New@Example.com"}, ("new@example.com", PASSWORD)),
        ({"password": NEW_PASSWORD}, ("ana@example.com", NEW_PASSWORD)),
        ({"email": "new@example.com", "password": NEW_PASSWORD}, ("new@example.com", NEW_PASSWORD)),
    ],
    ids=["email", "password", "both"],
)
def test_a_new_email_or_password_ends_the_old_tokens_and_answers_a_new_one(
    make: Factory,
    signed_in: SignedIn,
    anonymous: Caller,
    change: dict[str, str],
    credentials: tuple[str, str],
) -> None:
    user = make.user(email="ana@example.com")
    here, elsewhere = signed_in(user), signed_in(user)
    response = here.patch("/users/me", json={**change, "current_password": PASSWORD})
    assert (response.status_code, response.json()["email"]) == (200, credentials[0])
    assert [old.get("/users/me").status_code for old in (here, elsewhere)] == [401, 401]
    token = response.json()["token"]
    assert (token["token_type"], token["expires_in"]) == ("bearer", 1_800)
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert anonymous.get("/users/me", headers=headers).json()["id"] == user.id
    assert opens(anonymous, *credentials)
    assert not opens(anonymous, "ana@example.com", PASSWORD)


def test_ones_own_email_in_another_case_is_no_change(make: Factory, signed_in: SignedIn) -> None:
    caller = signed_in(make.user(email="ana@example.com"))
    response = caller.patch("/users/me", json={"email": "ANA@example.com"})
    assert (response.status_code, response.json()["token"]) == (200, None)
    assert caller.get("/users/me").status_code == 200


def test_an_email_of_somebody_else_is_taken_in_whatever_case(make: Factory, signed_in: SignedIn) -> None:
    make.user(email="luis@example.com")
    caller = signed_in(make.user(email="ana@example.com"))
    response = caller.patch("/users/me", json={"email": "Luis@Example.com", "current_password": PASSWORD})
    assert (response.status_code, response.json()["type"]) == (409, "/problems/email-taken")
    assert caller.get("/users/me").json()["email"] == "ana@example.com"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": None}, "/email"),
        ({"password": None}, "/password"),
        ({"password": "short"}, "/password"),
        ({"password": "x" * 129}, "/password"),
        ({"password": "nul\0nul\0nul"}, "/password"),
        ({"current_password": "nul\0nul\0nul"}, "/current_password"),
        ({"full_name": "x" * 256}, "/full_name"),
        ({"role": "ADMIN"}, "/role"),
        ({"is_active": True}, "/is_active"),
    ],
)
def test_a_change_of_ones_own_account_that_cannot_be_is_refused_once(
    make: Factory, signed_in: SignedIn, body: dict[str, Any], pointer: str
) -> None:
    response = signed_in(make.user()).patch("/users/me", json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


# All accounts


def test_administrators_see_all_accounts_oldest_first_in_pages(make: Factory, signed_in: SignedIn) -> None:
    admin = make.admin()
    ids = [admin.id, *(make.user().id for _ in range(4))]
    caller = signed_in(admin)
    pages = [caller.get("/users", params={"page": page, "size": 2}).json() for page in (1, 2, 3, 4)]
    assert [[account["id"] for account in page["items"]] for page in pages] == [
        ids[:2],
        ids[2:4],
        ids[4:],
        [],
    ]
    assert [(page["total"], page["total_exact"], page["page"], page["size"]) for page in pages] == [
        (5, True, number, 2) for number in (1, 2, 3, 4)
    ]
    assert sorted(pages[0]["items"][0]) == ["created_at", "email", "full_name", "id", "is_active", "role"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"search": "GÓMEZ"}, ["ana@example.com"]),
        ({"search": "LUIS@"}, ["luis@example.com"]),
        ({"search": "%"}, ["per%cent@example.com"]),
        ({"search": "r_c"}, []),
        ({"search": "\\"}, []),
        ({"role": "ADMIN"}, ["root@example.com"]),
        ({"role": "ORGANIZER"}, ["luis@example.com"]),
        ({"role": "ORGANIZER", "search": "ana"}, []),
    ],
    ids=str,
)
def test_accounts_are_found_by_part_of_the_email_or_the_name_and_by_role(
    make: Factory, signed_in: SignedIn, query: dict[str, str], found: list[str]
) -> None:
    admin = make.admin(email="root@example.com")
    make.user(email="ana@example.com", full_name="Ana Gómez")
    make.user(email="luis@example.com", full_name="Luis", role=Role.ORGANIZER)
    make.user(email="per%cent@example.com")
    page = signed_in(admin).get("/users", params=query).json()
    assert ([account["email"] for account in page["items"]], page["total"]) == (found, len(found))


@pytest.mark.parametrize("role", [Role.ATTENDEE, Role.ORGANIZER])
def test_nobody_else_sees_or_changes_accounts(make: Factory, signed_in: SignedIn, role: Role) -> None:
    user = make.user(role=role)
    caller = signed_in(user)
    refusals = [
        caller.get("/users"),
        caller.patch(f"/users/{user.id}", json={"role": "ADMIN"}),
        caller.patch("/users/2147483647", json={"role": "ADMIN"}),
    ]
    assert [(refusal.status_code, refusal.json()["type"]) for refusal in refusals] == [
        (403, "/problems/forbidden")
    ] * 3
    assert caller.get("/users/me").json()["role"] == role


@pytest.mark.parametrize("change", [{"role": "ORGANIZER"}, {"is_active": False}], ids=str)
def test_a_new_role_and_a_switch_off_end_the_accounts_tokens(
    make: Factory, signed_in: SignedIn, change: dict[str, Any]
) -> None:
    user, admin = make.user(), make.admin()
    old = signed_in(user)
    response = signed_in(admin).patch(f"/users/{user.id}", json=change)
    assert response.status_code == 200
    assert {name: response.json()[name] for name in change} == change
    assert old.get("/users/me").status_code == 401


def test_switching_on_again_does_not_revive_old_tokens(
    make: Factory, signed_in: SignedIn, anonymous: Caller
) -> None:
    user, admin = make.user(email="ana@example.com"), signed_in(make.admin())
    old = signed_in(user)
    for is_active, signs_in in [(False, False), (True, True)]:
        assert admin.patch(f"/users/{user.id}", json={"is_active": is_active}).status_code == 200
        assert opens(anonymous, "ana@example.com", PASSWORD) is signs_in
        assert old.get("/users/me").status_code == 401


def test_a_change_to_what_the_account_is_already_ends_no_token(make: Factory, signed_in: SignedIn) -> None:
    user, admin = make.user(), make.admin()
    caller = signed_in(user)
    body = {"role": "ATTENDEE", "is_active": True}
    assert signed_in(admin).patch(f"/users/{user.id}", json=body).status_code == 200
    assert caller.get("/users/me").status_code == 200


def test_an_account_that_does_not_exist_is_not_found(make: Factory, signed_in: SignedIn) -> None:
    response = signed_in(make.admin()).patch("/users/2147483647", json={"role": "ADMIN"})
    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize(
    "change", [{"role": "ATTENDEE"}, {"role": "ORGANIZER"}, {"is_active": False}], ids=str
)
def test_the_last_active_admin_is_neither_demoted_nor_switched_off(
    make: Factory, signed_in: SignedIn, change: dict[str, Any]
) -> None:
    admin = make.admin()
    make.admin(is_active=False)
    caller = signed_in(admin)
    response = caller.patch(f"/users/{admin.id}", json=change)
    assert (response.status_code, response.json()["type"]) == (409, "/problems/last-admin")
    account = caller.get("/users/me").json()
    assert (account["role"], account["is_active"]) == ("ADMIN", True)


def test_an_admin_who_is_not_the_last_may_step_down(make: Factory, signed_in: SignedIn) -> None:
    admin, _ = make.admin(), make.admin()
    response = signed_in(admin).patch(f"/users/{admin.id}", json={"role": "ATTENDEE"})
    assert (response.status_code, response.json()["role"]) == (200, "ATTENDEE")


@pytest.mark.parametrize(
    "body", [{"role": "OWNER"}, {"role": None}, {"is_active": None}, {"email": "a@b.co"}], ids=str
)
def test_a_change_of_an_account_that_cannot_be_is_refused(
    make: Factory, signed_in: SignedIn, body: dict[str, Any]
) -> None:
    admin = make.admin()
    response = signed_in(admin).patch(f"/users/{admin.id}", json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [f"/{next(iter(body))}"]


# Two administrators who demote each other at the same moment, over real connections


def active_admins(db: Database) -> int:
    return db.scalar(select(func.count()).where(User.role == Role.ADMIN, User.is_active)) or 0


def test_without_a_lock_two_admins_who_look_first_leave_none(live: Store) -> None:
    """Show that the race is real: looking before writing does not hold the line."""
    with live.job() as db:
        ids = [Factory(db).admin().id for _ in range(2)]
    with live.units() as first, live.units() as second:
        assert [active_admins(first), active_admins(second)] == [2, 2]
        for db, victim in ((first, ids[1]), (second, ids[0])):
            db.execute(text("UPDATE users SET role = 'ATTENDEE' WHERE id = :id"), {"id": victim})
        first.commit()
        second.commit()
    with live.job() as db:
        assert active_admins(db) == 0


def test_two_admins_who_demote_each_other_at_once_leave_one(live: Store, live_url: str) -> None:
    app = create_app(Settings(_env_file=None, database_url=live_url, secret_key=SECRET, log_level="WARNING"))
    with TestClient(app) as client:
        for _ in range(5):
            with live.job() as db:
                db.execute(text("TRUNCATE users CASCADE"))
                admins = [Factory(db).admin() for _ in range(2)]
            together = threading.Barrier(2)
            statuses: list[int] = []

            def demote(actor: User, victim: User) -> None:
                headers = {"Authorization": f"Bearer {app.state.tokens.issue(claims_of(actor))}"}
                together.wait()  # noqa: B023 - joined before the next round
                answer = client.patch(
                    f"{PREFIX}/users/{victim.id}", json={"role": "ATTENDEE"}, headers=headers
                )
                statuses.append(answer.status_code)  # noqa: B023

            pairs = [(admins[0], admins[1]), (admins[1], admins[0])]
            racers = [threading.Thread(target=demote, args=pair) for pair in pairs]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
            with live.job() as db:
                assert active_admins(db) == 1
            done, refused = sorted(statuses)
            assert done == 200
            assert refused in {401, 403, 409}
