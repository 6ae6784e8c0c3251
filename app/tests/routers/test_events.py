"""Events over HTTP."""

from collections.abc import Callable

from app.tests.conftest import Caller
from app.tests.factories import Factory


def test_an_event_with_a_null_description_does_not_break_the_list(anonymous: Caller, make: Factory) -> None:
    event = make.event(description=None, venue=None)
    response = anonymous.get("/events")
    assert response.status_code == 200
    assert [(item["id"], item["description"]) for item in response.json()["items"]] == [(event.id, None)]


def test_patch_with_one_field_changes_that_field_only(
    signed_in: Callable[..., Caller], make: Factory
) -> None:
    owner = make.user()
    event = make.event(owner, name="Before", venue="Teatro Colón")
    response = signed_in(owner).patch(f"/events/{event.id}", json={"name": "After"})
    assert response.status_code == 200
    assert (response.json()["name"], response.json()["venue"]) == ("After", "Teatro Colón")
