"""Bad input: each a problem with the right status and a sentence, none a 500."""

import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.models import User
from app.tests.conftest import Caller
from app.tests.factories import Factory, claims_of, soon

SignedIn = Callable[[User], Caller]

START, END = soon(10).isoformat(), soon(11).isoformat()
EVENT = {"name": "Event", "start_at": START, "end_at": END, "capacity_total": 10}
SESSION = {"title": "Session", "start_at": START, "end_at": END}
SPEAKER = {"full_name": "Speaker"}
ROOM = {"name": "Room"}
IDS = ["0", "-1", "2147483648", str(10**30), "abc", "1.5", "%00", "1%00", "1e3", "%F0%9F", "%20", "true", "²"]
LATER = "to be filled in"


@pytest.fixture
def caller(make: Factory, signed_in: SignedIn) -> Caller:
    """Call as an administrator, whom nothing but bad input stops."""
    return signed_in(make.admin())


def refused(response: Any, status: int, slug: str) -> dict[str, Any]:
    """Check that an answer is a whole problem, and return it."""
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["type"]) == (status, f"/problems/{slug}"), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert len(problem["detail"].split()) > 1
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def malformed(response: Any, *pointers: str) -> None:
    """Check that an answer is 422 and points at exactly these fields."""
    errors = refused(response, 422, "invalid-request")["errors"]
    assert [fault["pointer"] for fault in errors] == list(pointers)
    assert all(len(fault["detail"].split()) > 1 for fault in errors)


# Fields of a body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("surprise", 1),
        ("name", None),
        ("name", 7),
        ("name", ""),
        ("name", " \t\n "),
        ("name", "x" * 256),
        ("name", "nul\0"),
        ("name", ["x"]),
        ("description", "x" * 10_001),
        ("description", "nul\0"),
        ("venue", "x" * 256),
        ("venue", {"name": "x"}),
        ("start_at", None),
        ("start_at", "2027-03-01T09:00:00"),
        ("start_at", "2027-03-01"),
        ("start_at", "tomorrow"),
        ("start_at", ""),
        ("start_at", 1_800_000_000),
        ("start_at", 1.8e9),
        ("start_at", True),
        ("start_at", "0001-01-01T00:00:00+14:00"),
        ("start_at", "0000-01-01T00:00:00Z"),
        ("start_at", "1969-12-31T23:59:59Z"),
        ("end_at", "9999-12-31T23:59:59-14:00"),
        ("end_at", "2200-01-01T00:00:00Z"),
        ("end_at", "10000-01-01T00:00:00Z"),
        ("end_at", "2027-02-30T00:00:00Z"),
        ("end_at", "2027-03-01T09:00:00+99:99"),
        ("timezone", "Mars/Olympus"),
        ("timezone", ""),
        ("timezone", "../../etc/passwd"),
        ("timezone", "x" * 65),
        ("timezone", 5),
        ("capacity_total", 0),
        ("capacity_total", -1),
        ("capacity_total", 1_000_001),
        ("capacity_total", 10**12),
        ("capacity_total", 10**30),
        ("capacity_total", True),
        ("capacity_total", 1.5),
        ("capacity_total", "3"),
        ("capacity_total", None),
        ("status", "CANCELLED"),
        ("status", "published"),
        ("waitlist_enabled", None),
        ("waitlist_enabled", 5),
        ("registration_opens_at", "soon"),
    ],
)
def test_a_field_of_an_event_that_cannot_be_is_named(caller: Caller, field: str, value: Any) -> None:
    malformed(caller.post("/events", json={**EVENT, field: value}), f"/{field}")


@pytest.mark.parametrize("field", list(EVENT))
def test_a_field_of_an_event_that_is_missing_is_named(caller: Caller, field: str) -> None:
    body = {name: value for name, value in EVENT.items() if name != field}
    response = caller.post("/events", json=body)
    malformed(response, f"/{field}")
    assert response.json()["errors"][0]["detail"] == "this is required"
    assert response.json()["detail"] == f"/{field}: this is required."


def test_every_fault_of_a_body_is_named(caller: Caller) -> None:
    malformed(
        caller.post("/events", json={"name": "", "capacity_total": 0, "end_at": END, "odd/~": 1}),
        "/name",
        "/start_at",
        "/capacity_total",
        "/odd~1~0",
    )


@pytest.mark.parametrize(
    "times",
    [
        {"start_at": END, "end_at": START},
        {"end_at": START},
        {"registration_opens_at": END, "registration_closes_at": START},
        {"registration_opens_at": START, "registration_closes_at": START},
    ],
    ids=["backwards", "empty", "window backwards", "window empty"],
)
def test_an_end_before_its_start_is_refused(caller: Caller, times: dict[str, str]) -> None:
    refused(caller.post("/events", json={**EVENT, **times}), 422, "invalid-request")


@pytest.mark.parametrize("field", ["name", "start_at", "end_at", "timezone", "capacity_total", "status"])
def test_a_null_in_an_edit_is_refused_where_null_is_no_value(
    caller: Caller, make: Factory, field: str
) -> None:
    malformed(caller.patch(f"/events/{make.event().id}", json={field: None}), f"/{field}")


def test_an_edit_that_would_end_an_event_before_it_starts_is_refused(caller: Caller, make: Factory) -> None:
    event = make.event()
    response = caller.patch(f"/events/{event.id}", json={"end_at": event.start_at.isoformat()})
    assert refused(response, 422, "invalid-request")["errors"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("surprise", 1),
        ("title", ""),
        ("title", "x" * 256),
        ("title", "nul\0"),
        ("event_id", 0),
        ("event_id", 2**31),
        ("event_id", "1"),
        ("event_id", None),
        ("start_at", "2027-03-01T09:00:00"),
        ("room", " "),
        ("room", "x" * 101),
        ("room", "nul\0"),
        ("capacity_total", 0),
        ("capacity_total", 10**12),
        ("speaker_ids", 1),
        ("speaker_ids", None),
    ],
)
def test_a_field_of_a_session_that_cannot_be_is_named(
    caller: Caller, make: Factory, field: str, value: Any
) -> None:
    body = {**SESSION, "event_id": make.event().id, field: value}
    malformed(caller.post("/sessions", json=body), f"/{field}")


@pytest.mark.parametrize(
    ("moves", "pointer"),
    [
        ([], "/moves"),
        ([{"session_id": 1}] * 1_001, "/moves"),
        ([{"session_id": 1}, {"session_id": 1}], "/moves"),
        ({"session_id": 1}, "/moves"),
        (None, "/moves"),
        ([None], "/moves/0"),
        ([{}], "/moves/0/session_id"),
        ([{"session_id": 1}, {"session_id": 2**31}], "/moves/1/session_id"),
        ([{"session_id": "1"}], "/moves/0/session_id"),
        ([{"session_id": 1, "start_at": None}], "/moves/0/start_at"),
        ([{"session_id": 1, "start_at": "2027-03-01T09:00:00"}], "/moves/0/start_at"),
        ([{"session_id": 1, "end_at": "2200-01-01T00:00:00Z"}], "/moves/0/end_at"),
        ([{"session_id": 1, "room": " "}], "/moves/0/room"),
        ([{"session_id": 1, "room": "nul\0"}], "/moves/0/room"),
        ([{"session_id": 1, "room": "x" * 101}], "/moves/0/room"),
        ([{"session_id": 1, "title": "x"}], "/moves/0/title"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_plan_that_cannot_be_is_refused_where_it_is_wrong(
    caller: Caller, make: Factory, moves: Any, pointer: str
) -> None:
    body = {"event_id": make.event().id, "moves": moves}
    malformed(caller.post("/sessions/moves", json=body), pointer)


@pytest.mark.parametrize(
    ("event_id", "query", "pointer"),
    [(0, "", "/event_id"), ("1", "", "/event_id"), (1, "?dry_run=perhaps", "query/dry_run")],
)
def test_a_plan_of_no_event_or_in_an_unknown_manner_is_refused(
    caller: Caller, event_id: Any, query: str, pointer: str
) -> None:
    body = {"event_id": event_id, "moves": [{"session_id": 1}]}
    malformed(caller.post(f"/sessions/moves{query}", json=body), pointer)


@pytest.mark.parametrize("wrong", [0, -1, 2**31, "1", 1.5, True, None])
def test_a_speakers_id_that_cannot_be_is_named_by_its_place(
    caller: Caller, make: Factory, wrong: Any
) -> None:
    body = {**SESSION, "event_id": make.event().id, "speaker_ids": [1, wrong]}
    malformed(caller.post("/sessions", json=body), "/speaker_ids/1")


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("surprise", 1, "/surprise"),
        ("full_name", " ", "/full_name"),
        ("full_name", "x" * 256, "/full_name"),
        ("event_id", 2**31, "/event_id"),
        ("headline", "nul\0", "/headline"),
        ("bio", "x" * 10_001, "/bio"),
        ("photo_url", "not an address", "/photo_url"),
        ("photo_url", "javascript:alert(1)", "/photo_url"),
        ("photo_url", "file:///etc/passwd", "/photo_url"),
        ("photo_url", "https://" + "x" * 2_050 + ".example", "/photo_url"),
        ("links", ["https://example.com", "ftp://example.com"], "/links/1"),
        ("links", ["data:text/html,hello"], "/links/0"),
        ("links", ["https://example.com"] * 11, "/links"),
        ("links", "https://example.com", "/links"),
        ("links", [None], "/links/0"),
        ("links", ["https://nul\0.example"], "/links/0"),
    ],
)
def test_a_field_of_a_speaker_that_cannot_be_is_named(
    caller: Caller, field: str, value: Any, pointer: str
) -> None:
    malformed(caller.post("/speakers", json={**SPEAKER, field: value}), pointer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("surprise", 1),
        ("name", " "),
        ("name", "x" * 101),
        ("name", "nul\0"),
        ("capacity", 0),
        ("capacity", 10**12),
        ("capacity", "3"),
        ("allow_parallel", "perhaps"),
        ("event_id", "one"),
    ],
)
def test_a_field_of_a_room_that_cannot_be_is_named(
    caller: Caller, make: Factory, field: str, value: Any
) -> None:
    body = {**ROOM, "event_id": make.event().id, field: value}
    malformed(caller.post("/rooms", json=body), f"/{field}")


@pytest.mark.parametrize(
    ("field", "value"),
    [("role", "OWNER"), ("role", None), ("email", "nobody"), ("email", 3), ("surprise", 1)],
)
def test_a_field_of_a_team_member_that_cannot_be_is_named(
    caller: Caller, make: Factory, field: str, value: Any
) -> None:
    body = {"email": "ana@example.com", "role": "STAFF", field: value}
    malformed(caller.post(f"/events/{make.event().id}/team", json=body), f"/{field}")


# Queries and paths


@pytest.mark.parametrize(
    "path", ["/events", "/users/me/events", "/users/me/speakers", "/users", "/registrations/me"]
)
@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=1000001",
        f"page={10**18}",
        "page=one",
        "page=1.5",
        "page=",
        "size=0",
        "size=101",
        "size=1000",
        f"size={10**30}",
        "page=%00",
    ],
)
def test_a_page_that_cannot_be_is_refused(caller: Caller, path: str, query: str) -> None:
    malformed(caller.get(f"{path}?{query}"), f"query/{query.partition('=')[0]}")


def test_the_last_page_allowed_is_an_empty_one(caller: Caller, make: Factory) -> None:
    make.event()
    page = caller.get("/events?page=1000000&size=100").json()
    assert (page["items"], page["total"]) == ([], 1)


@pytest.mark.parametrize(
    "query",
    [
        "search=%00",
        "search=" + "x" * 256,
        "venue=a%00b",
        "from=2027-03-01T09:00:00",
        "from=yesterday",
        "to=0001-01-01T00:00:00%2B14:00",
        "to=9999-12-31T23:59:59-14:00",
        "organizer_id=0",
        "organizer_id=2147483648",
        "organizer_id=me",
        "has_places=perhaps",
        "sort=capacity",
        "sort=",
    ],
)
def test_a_filter_of_events_that_cannot_be_is_named(anonymous: Caller, query: str) -> None:
    malformed(anonymous.get(f"/events?{query}"), f"query/{query.partition('=')[0]}")


@pytest.mark.parametrize(
    "query",
    [
        "search=%F0%9F",
        "search=%ED%A0%80",
        "search=%25_%5C",
        "search=" + "%F0%9F%8E%89" * 255,
        "unknown=1",
        "unknown=" + "x" * 60_000,
        "&".join(f"unknown{number}=1" for number in range(3_000)),
        "=&&&=;",
    ],
    ids=lambda query: query[:20],
)
def test_a_strange_query_that_breaks_no_rule_is_answered(anonymous: Caller, query: str) -> None:
    response = anonymous.get(f"/events?{query}")
    assert (response.status_code, response.json()["items"]) == (200, [])


@pytest.mark.parametrize("path", ["/sessions", "/speakers", "/rooms"])
@pytest.mark.parametrize("query", ["", *(f"event_id={value}" for value in IDS), "event_id="])
def test_an_event_id_in_a_query_that_cannot_be_is_refused(anonymous: Caller, path: str, query: str) -> None:
    malformed(anonymous.get(f"{path}?{query}"), "query/event_id")


@pytest.mark.parametrize("wrong", IDS)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/events/{}", "event_id"),
        ("/events/{}/registrations", "event_id"),
        ("/events/{}/team", "event_id"),
        ("/sessions/{}", "session_id"),
        ("/sessions/events/{}", "event_id"),
        ("/speakers/{}", "speaker_id"),
        ("/registrations/{}", "registration_id"),
    ],
)
def test_an_id_in_a_path_that_cannot_be_is_refused(caller: Caller, path: str, name: str, wrong: str) -> None:
    malformed(caller.get(path.format(wrong)), f"path/{name}")


@pytest.mark.parametrize("wrong", IDS)
def test_a_session_whose_id_cannot_be_has_no_seats(caller: Caller, wrong: str) -> None:
    path = f"/registrations/sessions/{wrong}"
    malformed(caller.post(path), "path/session_id")
    malformed(caller.delete(path), "path/session_id")


@pytest.mark.parametrize("choice", ["", "ignore", "RELEASE", "%00", "refuse,release"])
def test_agendas_are_respected_or_released_and_there_is_no_third_way(caller: Caller, choice: str) -> None:
    malformed(caller.patch(f"/sessions/1?on_agenda_conflict={choice}", json={}), "query/on_agenda_conflict")


@pytest.mark.parametrize("path", ["/events", "/sessions", "/speakers", "/registrations"])
def test_the_largest_id_is_merely_not_found(caller: Caller, path: str) -> None:
    refused(caller.get(f"{path}/2147483647"), 404, "not-found")


# Bodies as a whole

LONE_SURROGATE = rb'"\ud800"'


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", "/"),
        (b"null", "/"),
        (b"[]", "/"),
        (b'"text"', "/"),
        (b"7", "/"),
        (b"NaN", "/"),
        (b"{", "/"),
        (b'{"name": }', "/"),
        (b"{'name': 1}", "/"),
        (b"\xff\xfe\x00", "/"),
        (b'{"name": "\xc3\x28"}', "/"),
        (b"[" * 100_000, "/"),
        (b"[" * 100_000 + b"]" * 100_000, "/"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "/"),
        (b'{"capacity_total": ' + b"9" * 5_000 + b"}", "/"),
    ],
    ids=lambda value: str(value)[:28],
)
def test_a_body_that_is_no_object_is_refused(caller: Caller, body: bytes, pointer: str) -> None:
    response = caller.post("/events", content=body, headers={"Content-Type": "application/json"})
    malformed(response, pointer)


@pytest.mark.parametrize("field", ["name", "description", "timezone", "start_at", "status"])
def test_half_a_character_is_refused_where_it_stands(caller: Caller, field: str) -> None:
    body = json.dumps({**EVENT, field: LATER}).encode().replace(json.dumps(LATER).encode(), LONE_SURROGATE)
    response = caller.post("/events", content=body, headers={"Content-Type": "application/json"})
    malformed(response, f"/{field}")


def test_half_a_character_as_a_fields_name_is_refused(caller: Caller) -> None:
    body = json.dumps({**EVENT, LATER: 1}).encode().replace(json.dumps(LATER).encode(), LONE_SURROGATE)
    response = caller.post("/events", content=body, headers={"Content-Type": "application/json"})
    assert len(refused(response, 422, "invalid-request")["errors"]) == 1


@pytest.mark.parametrize(
    ("path", "email", "password"),
    [
        ("/auth/login", LONE_SURROGATE, b'"password"'),
        ("/auth/login", b'"ana@example.com"', LONE_SURROGATE),
        ("/auth/register", b'"ana@example.com"', rb'"password\udfff"'),
        ("/auth/register", rb'"\ud800@example.com"', b'"password"'),
    ],
)
def test_half_a_character_in_credentials_is_refused(
    anonymous: Caller, path: str, email: bytes, password: bytes
) -> None:
    body = b'{"email": %b, "password": %b}' % (email, password)
    response = anonymous.post(path, content=body, headers={"Content-Type": "application/json"})
    assert refused(response, 422, "invalid-request")["errors"]


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ],
)
@pytest.mark.parametrize("path", ["/events", "/sessions", "/rooms", "/speakers"])
def test_a_body_of_another_media_type_is_refused(caller: Caller, path: str, media_type: str) -> None:
    response = caller.post(path, content=b'{"name": "x"}', headers={"Content-Type": media_type})
    refused(response, 415, "unsupported-media-type")


def test_a_body_without_a_media_type_is_refused(caller: Caller) -> None:
    refused(caller.post("/events", content=b'{"name": "x"}'), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "application/merge-patch+json", "APPLICATION/JSON"]
)
def test_json_under_its_other_names_is_read(caller: Caller, media_type: str) -> None:
    body = json.dumps(EVENT).encode()
    response = caller.post("/events", content=body, headers={"Content-Type": media_type})
    assert response.status_code == 201


@pytest.mark.parametrize(
    "content", [b"not multipart at all", b"--x\r\nContent-Disposition: form-data\r\n\r\nvalue\r\n--x--"]
)
def test_a_broken_form_is_refused(anonymous: Caller, content: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = anonymous.post("/auth/token", content=content, headers=headers)
    assert refused(response, 422, "invalid-request")["errors"]


def test_a_request_without_any_body_misses_one(caller: Caller) -> None:
    malformed(caller.post("/events"), "/")


def test_a_form_in_parts_is_read_as_one_in_a_line_is(anonymous: Caller) -> None:
    malformed(anonymous.post("/auth/token", files={"username": (None, "ana@example.com")}), "/password")


TEN_MEGABYTES = 10 * 1_048_576


@pytest.mark.parametrize("path", ["/events", "/auth/login", "/auth/token", "/auth/register"])
def test_a_body_of_ten_megabytes_is_refused_by_its_length(caller: Caller, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    refused(caller.post(path, content=b"x" * TEN_MEGABYTES, headers=headers), 413, "content-too-large")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/events", "application/json"),
        ("/auth/login", "application/json"),
        ("/auth/register", "text/plain"),
        ("/auth/token", "application/x-www-form-urlencoded"),
        ("/auth/token", "multipart/form-data; boundary=x"),
    ],
)
def test_a_body_of_ten_megabytes_without_a_length_is_refused_while_it_comes(
    caller: Caller, path: str, media_type: str
) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    response = caller.post(path, content=chunks(), headers={"Content-Type": media_type})
    refused(response, 413, "content-too-large")


# Addresses and methods


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/events/1/nothing",
        "/EVENTS",
        "//events",
        "/events//1",
        "/%00",
        "/../../etc/passwd",
        "/" + "x" * 8_000,
    ],
)
def test_an_unknown_address_is_not_found(anonymous: Caller, path: str) -> None:
    refused(anonymous.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/events", {"GET", "POST"}),
        ("DELETE", "/events", {"GET", "POST"}),
        ("PUT", "/events/1", {"GET", "PATCH", "DELETE"}),
        ("POST", "/users/me", {"GET", "PATCH"}),
        ("GET", "/auth/login", {"POST"}),
        ("GET", "/registrations/events/1", {"POST", "DELETE"}),
        ("PUT", "/rooms/1", {"PATCH", "DELETE"}),
        ("TRACE", "/speakers", {"GET", "POST"}),
        ("BREW", "/sessions", {"GET", "POST"}),
        ("POST", "/health/live", {"GET"}),
    ],
)
def test_a_method_that_an_address_does_not_answer_is_refused_with_those_it_does(
    anonymous: Caller, method: str, path: str, allowed: set[str]
) -> None:
    response = anonymous.request(method, path)
    refused(response, 405, "method-not-allowed")
    assert {name.strip() for name in response.headers["allow"].split(",")} - {"HEAD"} == allowed


@pytest.mark.parametrize("path", ["/events", "/events/{id}", "/sessions?event_id={id}", "/events/{id}/team"])
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_path_with_a_trailing_slash_answers_like_the_one_without(
    caller: Caller, make: Factory, path: str, slashes: str
) -> None:
    address, mark, query = path.format(id=make.event().id).partition("?")
    plain = caller.get(address + mark + query)
    slashed = caller.get(address + slashes + mark + query)
    assert (slashed.status_code, slashed.json()) == (200, plain.json())


def test_a_trailing_slash_loses_no_body(caller: Caller) -> None:
    response = caller.post("/events/", json=EVENT)
    assert (response.status_code, response.json()["name"]) == (201, "Event")


# Everything at once


HOSTILE_BODIES: list[bytes | None] = [
    None,
    b"{}",
    b"[]",
    b"null",
    b"{",
    b"\xff",
    b'{"\\ud800": "\\ud800", "name": "\\u0000", "email": 7, "event_id": 1e400, "capacity_total": -0}',
]


def operations(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, item in app.openapi()["paths"].items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def test_no_operation_fails_whatever_is_thrown_at_it(
    app: FastAPI, running_app: TestClient, make: Factory, caller: Caller
) -> None:
    make.event()
    token = app.state.tokens.issue(claims_of(make.admin()))
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
    }
    swept = operations(app)
    assert len(swept) > 30
    for (method, template), wrong in product(swept, ["1", *IDS]):
        path = template
        while "{" in path:
            before, _, rest = path.partition("{")
            path = before + wrong + rest.partition("}")[2]
        bodies = HOSTILE_BODIES if wrong == "1" and method != "GET" else [b"{}"]
        for body in bodies:
            address = f"{path}?search=%00&page={wrong}" if method == "GET" else path
            response = running_app.request(method, address, content=body, headers=headers)
            case = (method, path, body)
            assert response.status_code < 500, case
            if response.status_code >= 400:
                assert response.headers["content-type"] == "application/problem+json", case
