"""Walking through lists by cursor, while they change."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.core.pagination import LONGEST_CURSOR
from app.models import Event, User
from app.models.enums import Role, Verdict
from app.tests.conftest import Caller
from app.tests.factories import DAY, Factory, soon
from app.tests.routers.conftest import SignedIn, ids, refused

LATER = soon(60)
SORTS = ("start_at", "-start_at", "name", "-name", "-created_at")


def walk(caller: Caller, path: str, size: int = 2, **params: Any) -> Iterator[list[int]]:
    """Yield page after page, each by the cursor of the one before."""
    number, cursor = 0, None
    while number == 0 or cursor:
        beginning: dict[str, Any] = {"cursor": cursor} if cursor else {}
        response = caller.get(path, params={"size": size, **params, **beginning})
        assert response.status_code == 200, response.text
        page, number = response.json(), number + 1
        assert (page["page"], page["size"]) == (number, size)
        cursor = page["next_cursor"]
        yield ids(response)


def refuses(response: Any) -> bool:
    assert refused(response) == (422, "invalid-request")
    (error,) = response.json()["errors"]
    return bool(error["pointer"] == "query/cursor")


# Every list


def events(make: Factory, _: User) -> str:
    for number in range(5):
        make.event(name=f"Event {number % 2}", start_at=LATER, end_at=LATER + DAY)
    return "/events"


def own_events(make: Factory, me: User) -> str:
    for _ in range(5):
        make.event(me)
    return "/users/me/events"


def own_speakers(make: Factory, me: User) -> str:
    for number in range(5):
        make.speaker(me, full_name=f"Speaker {number % 2}")
    return "/users/me/speakers"


def accounts(make: Factory, me: User) -> str:
    for _ in range(4):
        make.user()
    return "/users"


def own_registrations(make: Factory, me: User) -> str:
    for _ in range(5):
        make.registration(make.event(), me)
    return "/registrations/me"


def attendees(make: Factory, me: User) -> str:
    event = make.event(me)
    for _ in range(5):
        make.registration(event)
    return f"/events/{event.id}/registrations"


def scans(make: Factory, me: User) -> str:
    event = make.event(me)
    made = text(
        "INSERT INTO scans (event_id, ticket_code, verdict, scanned_at, scanned_by)"
        " SELECT :event, 'code', :verdict, now(), :me FROM generate_series(1, 5)"
    )
    make.db.execute(made, {"event": event.id, "verdict": Verdict.UNKNOWN_TICKET.value, "me": me.id})
    make.db.commit()
    return f"/events/{event.id}/check-ins"


def changes_of_event(make: Factory, me: User) -> str:
    event = make.event(me)
    for _ in range(4):
        make.room(event)
    return f"/events/{event.id}/audit"


def changes(make: Factory, me: User) -> str:
    assert me.role is Role.ADMIN  # which is a change that is told
    for _ in range(4):
        make.event(me)
    return "/audit"


def sign_ins(make: Factory, me: User) -> str:
    for _ in range(4):  # beside the one of the caller
        make.sign_in(me)
    return "/users/me/sessions"


def api_keys(make: Factory, me: User) -> str:
    for _ in range(5):
        make.api_key(me)
    return "/users/me/api-keys"


LISTS = (
    events,
    own_events,
    own_speakers,
    accounts,
    own_registrations,
    attendees,
    scans,
    changes_of_event,
    changes,
    sign_ins,
    api_keys,
)


@pytest.mark.parametrize("fill", LISTS, ids=lambda fill: fill.__name__)
def test_a_walk_through_any_list_shows_what_its_pages_show(
    signed_in: SignedIn, make: Factory, fill: Callable[[Factory, User], str]
) -> None:
    me = make.admin()
    caller, path = signed_in(me), fill(make, me)
    everything = ids(caller.get(path, params={"size": 100}))
    assert len(everything) == 5
    for size in (1, 2, 5):
        pages = list(walk(caller, path, size))
        assert [len(page) for page in pages] == [size] * (5 // size) + [5 % size] * (5 % size > 0)
        assert [one for page in pages for one in page] == everything


@pytest.mark.parametrize("fill", LISTS, ids=lambda fill: fill.__name__)
def test_no_list_takes_the_cursor_of_another(
    signed_in: SignedIn, make: Factory, fill: Callable[[Factory, User], str]
) -> None:
    me = make.admin()
    caller, path = signed_in(me), fill(make, me)
    cursor = caller.get(path, params={"size": 2}).json()["next_cursor"]
    others = [other(make, me) for other in LISTS if other is not fill]
    assert all(refuses(caller.get(other, params={"cursor": cursor})) for other in others)


# What a cursor is bound to


@pytest.fixture
def cursor(anonymous: Caller, make: Factory) -> str:
    """Return where the second page of the events begins."""
    for _ in range(5):
        make.event()
    return str(anonymous.get("/events", params={"size": 2}).json()["next_cursor"])


@pytest.mark.parametrize(
    "params",
    [
        {"sort": "-start_at"},
        {"sort": "start_at"},
        {"search": "event"},
        {"search_in": "all"},
        {"venue": "x"},
        {"from": "2031-01-01T00:00:00Z"},
        {"to": "2031-01-01T00:00:00Z"},
        {"organizer_id": 1},
        {"has_places": True},
    ],
)
def test_a_cursor_goes_with_its_own_filters_and_order_only(
    anonymous: Caller, cursor: str, params: dict[str, Any]
) -> None:
    assert refuses(anonymous.get("/events", params={**params, "cursor": cursor}))
    assert anonymous.get("/events", params={"cursor": cursor}).status_code == 200


def test_a_cursor_that_was_touched_is_refused(anonymous: Caller, cursor: str) -> None:
    for place, letter in enumerate(cursor):
        changed = cursor[:place] + ("A" if letter != "A" else "B") + cursor[place + 1 :]
        assert refuses(anonymous.get("/events", params={"cursor": changed}))


@pytest.mark.parametrize("length", [LONGEST_CURSOR, LONGEST_CURSOR + 1])
def test_no_cursor_is_too_long_to_be_refused(anonymous: Caller, length: int) -> None:
    assert refuses(anonymous.get("/events", params={"cursor": "A" * length}))


def test_the_longest_name_there_can_be_has_a_cursor(anonymous: Caller, make: Factory) -> None:
    for _ in range(3):
        make.event(name="🎉" * 255)
    assert [len(page) for page in walk(anonymous, "/events", sort="name")] == [2, 1]


def test_pages_of_a_walk_may_differ_in_size(anonymous: Caller, cursor: str) -> None:
    everything = ids(anonymous.get("/events"))
    larger = anonymous.get("/events", params={"cursor": cursor, "size": 3})
    assert (ids(larger), larger.json()["next_cursor"]) == (everything[2:], None)


def test_a_page_number_beside_a_cursor_has_no_effect(anonymous: Caller, cursor: str) -> None:
    params = {"cursor": cursor, "size": 2}
    plain, numbered = (
        anonymous.get("/events", params={**params, **more}).json() for more in ({}, {"page": 9})
    )
    assert (numbered, numbered["page"]) == (plain, 2)


def test_a_walk_may_begin_at_any_page(anonymous: Caller, cursor: str) -> None:
    everything = ids(anonymous.get("/events"))
    second = anonymous.get("/events", params={"page": 2, "size": 2}).json()
    third = anonymous.get("/events", params={"cursor": second["next_cursor"], "size": 2})
    assert (ids(third), third.json()["page"]) == (everything[4:], 3)


def test_a_cursor_of_one_person_shows_another_only_their_own(signed_in: SignedIn, make: Factory) -> None:
    one, other = make.user(), make.user()
    for _ in range(3):
        make.registration(make.event(), other)
    own_registrations(make, one)
    cursor = signed_in(one).get("/registrations/me", params={"size": 1}).json()["next_cursor"]
    shown = signed_in(other).get("/registrations/me", params={"cursor": cursor}).json()["items"]
    assert {item["user_id"] for item in shown} == {other.id}


# Lists that change


class Changing:
    """A list of events in which, between two pages, some are made and some are deleted, everywhere."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.owner = make.user()
        self.standing = [self._event(number) for number in range(0, 40, 2)]
        self.doomed = [self._event(number) for number in range(1, 40, 4)]

    def _event(self, number: int) -> Event:
        return self.make.event(
            self.owner,
            name=f"Jazz {'abcd'[number % 4]}",
            start_at=LATER + (number * 7 % 40) * DAY,
            end_at=LATER + 50 * DAY,
            created_at=LATER - (number * 11 % 40) * DAY,
        )

    def change(self) -> None:
        for number in (0, 13, 39):
            self._event(number)
        if self.doomed:
            self.doomed.pop(len(self.doomed) // 2).deleted_at = soon(-1)
        self.make.db.commit()


def by_cursor(caller: Caller, changing: Changing, **params: Any) -> list[int]:
    seen = []
    for page in walk(caller, "/events", 3, **params):
        seen += page
        if len(seen) < 200:
            changing.change()
    return seen


@pytest.mark.parametrize(
    "params",
    [
        *({"sort": sort} for sort in SORTS),
        {},
        {"search": "jazz"},
        {"search": "jaxz"},
        *({"search": "jazz", "sort": sort} for sort in SORTS),
        *({"from": LATER.isoformat(), "has_places": True, "sort": sort} for sort in SORTS),
    ],
    ids=str,
)
def test_a_walk_by_cursor_meets_what_stands_throughout_exactly_once(
    anonymous: Caller, make: Factory, params: dict[str, Any]
) -> None:
    changing = Changing(make)
    seen = by_cursor(anonymous, changing, **params)
    assert len(seen) == len(set(seen))
    assert {event.id for event in changing.standing} - set(seen) == set()


def test_control_a_walk_by_numbers_repeats_and_misses(anonymous: Caller, make: Factory) -> None:
    changing = Changing(make)
    seen: list[int] = []
    for number in range(1, 30):
        seen += ids(anonymous.get("/events", params={"page": number, "size": 3}))
        changing.change()
    assert len(seen) > len(set(seen))


def test_control_a_walk_by_numbers_misses_where_only_deletions_happen(
    anonymous: Caller, make: Factory, db: Database
) -> None:
    changing = Changing(make)
    first = ids(anonymous.get("/events", params={"size": 3}))
    for event_id in first:
        db.get_one(Event, event_id).deleted_at = soon(-1)
    db.commit()
    rest = [ids(anonymous.get("/events", params={"page": number, "size": 3})) for number in range(2, 15)]
    seen = {one for page in rest for one in page} | set(first)
    assert {event.id for event in [*changing.standing, *changing.doomed]} - seen != set()


def test_a_walk_through_forgiven_typos_goes_on_when_something_is_spelt_so(
    anonymous: Caller, make: Factory
) -> None:
    meant = [make.event(name="Concierto").id for _ in range(3)]
    pages = walk(anonymous, "/events", search="concieto")
    assert next(pages) == meant[:2]
    make.event(name="Concieto")
    assert next(pages) == meant[2:]
    assert len(ids(anonymous.get("/events", params={"search": "concieto"}))) == 1


@pytest.mark.parametrize("role", Role)
def test_a_bad_cursor_is_refused_to_everybody_alike(signed_in: SignedIn, make: Factory, role: Role) -> None:
    caller = signed_in(make.user(role=role))
    for path in ("/events", "/users/me/events", "/users/me/speakers", "/registrations/me"):
        assert refuses(caller.get(path, params={"cursor": "made-up"}))
