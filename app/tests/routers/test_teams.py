"""Teams over HTTP: who runs an event beside its owner."""

import pytest

from app.models.enums import TeamRole
from app.tests.conftest import Caller
from app.tests.factories import Factory, soon
from app.tests.routers.conftest import SignedIn, refused, z


def test_the_team_is_listed_owner_first_then_as_they_joined(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user(full_name="Ana")
    event = make.event(owner, created_at=soon(-3))
    staff = make.member(event, TeamRole.STAFF)
    manager = make.member(event, TeamRole.MANAGER)
    response = signed_in(staff).get(f"/events/{event.id}/team")
    assert response.status_code == 200
    members = response.json()
    assert members[0] == {
        "user_id": owner.id,
        "email": owner.email,
        "full_name": "Ana",
        "role": "OWNER",
        "added_at": z(event.created_at),
    }
    assert [(member["user_id"], member["role"]) for member in members[1:]] == [
        (staff.id, "STAFF"),
        (manager.id, "MANAGER"),
    ]


def test_the_owner_adds_somebody_by_email_in_whatever_case(signed_in: SignedIn, make: Factory) -> None:
    owner, helper = make.user(), make.user(email="luis@example.com", full_name="Luis")
    event = make.event(owner)
    body = {"email": "LUIS@Example.com", "role": "STAFF"}
    response = signed_in(owner).post(f"/events/{event.id}/team", json=body)
    assert response.status_code == 201
    assert response.json() == {
        "user_id": helper.id,
        "email": "luis@example.com",
        "full_name": "Luis",
        "role": "STAFF",
        "added_at": response.json()["added_at"],
    }
    assert signed_in(owner).get(f"/events/{event.id}/team").json()[1:] == [response.json()]


def test_somebody_without_an_active_account_cannot_be_added(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    make.user(email="off@example.com", is_active=False)
    for email in ("nobody@example.com", "off@example.com"):
        response = signed_in(owner).post(f"/events/{event.id}/team", json={"email": email, "role": "STAFF"})
        assert refused(response) == (404, "unknown-account")


def test_nobody_is_on_a_team_twice_nor_the_owner_at_all(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    staff = make.member(event, TeamRole.STAFF)
    for email in (staff.email, owner.email):
        body = {"email": email, "role": "MANAGER"}
        response = signed_in(owner).post(f"/events/{event.id}/team", json=body)
        assert refused(response) == (409, "already-on-team")


@pytest.mark.parametrize(
    ("field", "value"), [("role", "OWNER"), ("role", "staff"), ("email", "no address"), ("name", "x")]
)
def test_a_member_that_is_not_valid_is_refused(
    signed_in: SignedIn, make: Factory, field: str, value: str
) -> None:
    owner = make.user()
    body = {"email": make.user().email, "role": "STAFF", field: value}
    response = signed_in(owner).post(f"/events/{make.event(owner).id}/team", json=body)
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/{field}"]


def test_who_is_removed_has_no_part_in_the_event_any_more(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    staff = make.member(event, TeamRole.STAFF)
    path = f"/events/{event.id}/team"
    assert signed_in(staff).get(path).status_code == 200
    assert signed_in(owner).delete(f"{path}/{staff.id}").status_code == 204
    assert refused(signed_in(staff).get(path)) == (403, "forbidden")
    assert refused(signed_in(owner).delete(f"{path}/{staff.id}")) == (404, "not-found")


def test_the_owner_is_not_on_the_team_to_be_removed(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    event = make.event(owner)
    response = signed_in(owner).delete(f"/events/{event.id}/team/{owner.id}")
    assert refused(response) == (404, "not-found")


def test_a_manager_does_all_but_delete_the_event_or_change_the_team(
    signed_in: SignedIn, make: Factory
) -> None:
    event = make.event()
    manager = signed_in(make.member(event, TeamRole.MANAGER))
    path = f"/events/{event.id}"
    body = {"email": make.user().email, "role": "STAFF"}
    assert manager.patch(path, json={"name": "Renamed"}).status_code == 200
    assert manager.get(f"{path}/team").status_code == 200
    assert refused(manager.post(f"{path}/team", json=body)) == (403, "forbidden")
    assert refused(manager.delete(path)) == (403, "forbidden")


def test_the_team_of_one_event_has_no_part_in_another(signed_in: SignedIn, make: Factory) -> None:
    owner = make.user()
    one, other = make.event(owner), make.event(owner)
    manager = signed_in(make.member(one, TeamRole.MANAGER))
    assert manager.patch(f"/events/{one.id}", json={"name": "x"}).status_code == 200
    assert refused(manager.patch(f"/events/{other.id}", json={"name": "x"})) == (403, "forbidden")


def test_the_list_costs_the_same_queries_whatever_its_length(
    signed_in: SignedIn, make: Factory, statements: list[str]
) -> None:
    owner = make.user()
    event = make.event(owner)
    me, path, costs = signed_in(owner), f"/events/{event.id}/team", []
    for more in (1, 2):
        for _ in range(more):
            make.member(event, TeamRole.STAFF)
        statements.clear()
        costs.append((len(me.get(path).json()), len(statements)))
    assert costs == [(2, 5), (4, 5)]


def test_a_team_is_not_shown_without_a_token(anonymous: Caller, make: Factory) -> None:
    assert refused(anonymous.get(f"/events/{make.event().id}/team")) == (401, "unauthorized")
