"""Tickets as QR codes over HTTP."""

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import segno

from app.models.enums import RegistrationStatus, TeamRole
from app.tests.conftest import Caller
from app.tests.factories import Factory

BORDER = 4


def dark_modules(svg: str) -> set[tuple[int, int]]:
    """Return the dark modules of a QR code as (row, column), from the strokes of its SVG."""
    strokes = [path for path in ET.fromstring(svg).iter() if path.get("stroke") and path.get("d")]
    assert len(strokes) == 1
    dark, x, y = set(), 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([^Mmh]*)", strokes[0].get("d", "")):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if command == "h":
            dark |= {(int(y) - BORDER, int(x) + step - BORDER) for step in range(int(values[0]))}
            x += values[0]
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            x, y = values
    return dark


def test_a_ticket_is_drawn_as_the_qr_code_of_its_code(
    signed_in: Callable[..., Caller], make: Factory
) -> None:
    registration = make.registration(make.event(), holder := make.user())
    response = signed_in(holder).get(f"/registrations/{registration.id}/ticket.svg")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    expected = segno.make_qr(registration.ticket_code, error="q").matrix
    assert dark_modules(response.text) == {
        (row, column) for row, line in enumerate(expected) for column, dark in enumerate(line) if dark
    }


def test_a_ticket_stands_on_white_so_that_it_reads_on_a_dark_page(
    signed_in: Callable[..., Caller], make: Factory
) -> None:
    registration = make.registration(make.event(), holder := make.user())
    svg = signed_in(holder).get(f"/registrations/{registration.id}/ticket.svg").text
    fills = [path.get("fill") for path in ET.fromstring(svg).iter() if path.get("fill")]
    assert fills == ["#fff"]


def test_two_tickets_are_two_images(signed_in: Callable[..., Caller], make: Factory) -> None:
    event, holder = make.event(), make.user()
    cancelled = make.registration(event, holder, status=RegistrationStatus.CANCELLED)
    live = make.registration(event, holder)
    images = [
        signed_in(holder).get(f"/registrations/{entry.id}/ticket.svg").text for entry in (cancelled, live)
    ]
    assert images[0] != images[1]


def test_a_ticket_is_shown_to_its_holder_and_the_staff_only(
    anonymous: Caller, signed_in: Callable[..., Caller], make: Factory
) -> None:
    event = make.event(owner := make.user())
    registration = make.registration(event, holder := make.user())
    other = make.registration(event).user_id
    path = f"/registrations/{registration.id}/ticket.svg"
    staff = [make.member(event, role) for role in (TeamRole.STAFF, TeamRole.MANAGER)]
    seen_by = [holder, owner, make.admin(), *staff]
    assert [signed_in(user).get(path).status_code for user in seen_by] == [200] * 5
    assert anonymous.get(path).status_code == 401
    for stranger in (make.user(), make.db.get_one(type(owner), other)):
        refused = signed_in(stranger).get(path)
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/not-found")
        assert registration.ticket_code not in refused.text


def test_there_is_no_ticket_without_a_registration(signed_in: Callable[..., Caller], make: Factory) -> None:
    assert signed_in(make.admin()).get("/registrations/2147483647/ticket.svg").status_code == 404
