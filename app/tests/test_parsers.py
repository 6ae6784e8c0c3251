"""Whatever reads what strangers write: it understands or refuses, and never fails. What it wrote, it reads.

`make check` tries the same hundred examples of each every time, `make fuzz` eight hundred others.
"""

import csv
import io
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import icalendar
import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Connection

from app.core.conditional import Expected, compressed, known, tag
from app.core.exceptions import InvalidRequest, PreconditionFailed
from app.core.exports import FORMULA_STARTS, _lines
from app.core.frab import NotAScheduleError, read_xml, write_xml
from app.core.ical import Calendar, Entry, EntryStatus, document
from app.core.middleware import WELL_FORMED_ID
from app.core.pagination import Cursors, Place
from app.core.security import LONGEST_ID, ApiKeys, Claims, Seals, Tokens, digest_of
from app.core.settings import Settings
from app.core.text import printable
from app.dependencies.schedules import READERS, _read
from app.schemas.schedules import EXAMPLE, EXAMPLE_XML, ScheduleFile
from app.tests.conftest import PREFIX, SECRET
from app.tests.core.test_frab import TALK, schedule
from app.tests.factories import Factory
from app.tests.routers.conftest import SignedIn
from app.tests.routers.test_auth import segment, signed

# The fixtures serve all examples alike: what an example changes, it takes back.
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

# What a header can carry; the rest is refused by the server itself.
header = st.binary(max_size=300).map(lambda raw: re.sub(rb"[\0\r\n]", b"", raw).strip())
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def mostly(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects with some of these fields, each of them anything at all."""
    return st.dictionaries(st.sampled_from(names), anything)


# Tokens

tokens = Tokens(SECRET, timedelta(minutes=5))
ids = st.integers(1, LONGEST_ID)
claims_of_anything = mostly("sub", "uid", "ver", "sid", "iat", "exp", "nbf", "aud", "iss", "jti", "at_hash")


@given(uid=ids, sub=st.text(max_size=254), ver=st.integers(), sid=ids)
def test_every_token_that_is_issued_is_read_again(uid: int, sub: str, ver: int, sid: int) -> None:
    claims = Claims(uid, sub, ver, sid)
    assert tokens.read(tokens.issue(claims)) == claims


@given(st.text() | st.lists(st.binary(max_size=40).map(segment), max_size=6).map(".".join))
def test_no_text_of_a_strangers_is_a_token(text: str) -> None:
    assert tokens.read(text) is None


@given(head=mostly("alg", "typ", "kid", "jku", "x5c", "crit", "zip", "enc"), claims=claims_of_anything)
def test_no_header_of_a_strangers_makes_a_token(head: dict[str, Any], claims: dict[str, Any]) -> None:
    assert tokens.read(f"{segment(json.dumps(head).encode())}.{signed(claims).partition('.')[2]}") is None


@given(anything | claims_of_anything)
@example({"exp": None})
@example({"iat": float("inf")})
def test_whatever_was_signed_with_the_key_is_read_or_refused(claims: Any) -> None:
    now = int(datetime.now(UTC).timestamp())
    for payload in (claims, {"iat": now, "exp": now + 60, **(claims if isinstance(claims, dict) else {})}):
        read = tokens.read(signed(payload))
        assert read is None or (read.uid, read.sub, read.ver) == (
            payload["uid"],
            payload["sub"],
            payload["ver"],
        )


@with_fixtures
@given(given=header)
def test_no_authorization_header_of_a_strangers_opens_anything(running_app: TestClient, given: bytes) -> None:
    for value in (given, b"Bearer " + given):
        answer = running_app.get(f"{PREFIX}/users/me", headers={b"Authorization": value})
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")


# Cursors and keys

cursors = Cursors(Seals(SECRET, "cursors"), "/events")
places = st.builds(
    Place,
    page=st.integers(1, 2**31),
    key=st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(max_size=40), max_size=3),
    order=st.text(max_size=20),
)


@given(places)
def test_every_cursor_that_is_written_is_read_again_and_of_no_other_list(place: Place) -> None:
    written = cursors.write(place)
    assert cursors.read(written) == place
    assert Cursors(cursors.seals, "/events?search=jazz").read(written) is None


@given(place=places, data=st.data())
def test_no_cursor_is_read_that_was_changed(place: Place, data: st.DataObject) -> None:
    written = cursors.write(place)
    at = data.draw(st.integers(0, len(written) - 1))
    instead = data.draw(st.characters().filter(lambda letter: letter != written[at]) | st.just(""))
    assert cursors.read(written[:at] + instead + written[at + 1 :]) is None


@given(st.text() | st.binary(max_size=200).map(segment))
def test_no_text_of_a_strangers_is_a_cursor(text: str) -> None:
    assert cursors.read(text) is None


@with_fixtures
@given(text=st.text(min_size=1) | st.binary(min_size=1, max_size=200).map(segment))
def test_a_list_refuses_a_strangers_cursor(
    running_app: TestClient, connection: Connection, text: str
) -> None:
    answer = running_app.get(f"{PREFIX}/events", params={"cursor": text})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")


@given(ids)
def test_every_api_key_that_is_made_is_read_again_and_tells_whose_it_is(uid: int) -> None:
    key = ApiKeys.new(uid)
    needs = frozenset({"read"})
    read = ApiKeys.read(key, needs)
    assert read is not None
    assert (read.uid, read.digest, read.needs) == (uid, digest_of(key), needs)


@given(st.text() | st.text(alphabet="mek_0123456789²abcXYZ-", max_size=60).map("mek_".__add__))
def test_an_api_key_of_a_strangers_is_refused_or_opens_nothing_but_itself(text: str) -> None:
    read = ApiKeys.read(text, frozenset())
    assert read is None or (0 < read.uid <= LONGEST_ID and read.digest == digest_of(text))


# Tags


@given(version=st.integers(0, 2**31), body=st.binary(), others=st.lists(st.text(max_size=20), max_size=3))
def test_a_tag_is_known_again_among_others_compressed_or_not(
    version: int, body: bytes, others: list[str]
) -> None:
    current = tag(version, body)
    around = [f'"{other.replace(",", "").replace(chr(34), "")}"' for other in others]
    for form in (current, compressed(current)):
        assert known(current, ", ".join([*around, form])) == form
        Expected(", ".join([*around, form])).ensure(version)
        with pytest.raises(PreconditionFailed):
            Expected(form).ensure(version + 1)


@given(text=st.text(alphabet='W/"0123456789.*, abc\t') | st.text(), version=st.integers(0))
def test_a_precondition_is_met_or_not_whatever_it_says(text: str, version: int) -> None:
    known(tag(version, b""), text)
    with suppress(PreconditionFailed):
        Expected(text).ensure(version)


@with_fixtures
@given(given=header)
def test_whatever_a_reader_says_to_have_the_answer_is_whole_or_none(
    running_app: TestClient, connection: Connection, given: bytes
) -> None:
    answer = running_app.get(f"{PREFIX}/events", headers={b"If-None-Match": given})
    assert (answer.status_code, bool(answer.content)) == ((304, False) if given == b"*" else (200, True))


# Other headers


def test_a_key_is_kept_or_refused_and_answers_twice_alike(
    make: Factory, signed_in: SignedIn, connection: Connection
) -> None:
    caller = signed_in(make.user())

    @given(given=header)
    def send_twice(given: bytes) -> None:
        before = connection.begin_nested()
        options: Any = {"json": {"full_name": "Ana"}, "headers": {"Idempotency-Key": given}}
        one, two = caller.post("/speakers", **options), caller.post("/speakers", **options)
        before.rollback()
        well_formed = re.fullmatch(rb"[\x21-\x7e]{1,255}", given) is not None
        assert (one.status_code, two.status_code) == ((201, 201) if well_formed else (422, 422))
        assert not well_formed or one.json() == two.json()

    send_twice()


@with_fixtures
@given(given=header | st.from_regex(WELL_FORMED_ID, fullmatch=True).map(str.encode))
def test_a_request_id_is_kept_or_made(running_app: TestClient, given: bytes) -> None:
    answer = running_app.get("/health/live", headers={b"X-Request-ID": given})
    expected = given.decode("latin-1") if WELL_FORMED_ID.fullmatch(given.decode("latin-1")) else None
    made = answer.headers["x-request-id"]
    assert answer.status_code == 200
    assert made == expected or (expected is None and re.fullmatch("[0-9a-f]{32}", made))


@with_fixtures
@given(
    name=st.sampled_from(["Host", "Content-Length", "Content-Type", "Accept-Encoding", "Origin", "Expect"]),
    given=header | st.text("0123456789²³¹.-+ ", max_size=30).map(lambda text: text.encode("latin-1")),
)
@example(name="Content-Length", given="²".encode("latin-1"))
@example(name="Content-Length", given=b"9" * 5_000)
def test_no_header_makes_a_refusal_fail(running_app: TestClient, name: str, given: bytes) -> None:
    answer = running_app.post(f"{PREFIX}/auth/login", content=b"{}", headers={name.encode(): given})
    assert answer.status_code in {413, 415, 422}


# Addresses


@with_fixtures
@given(st.text(max_size=60) | st.text("/\\.%:@?;=a0", max_size=40))
def test_no_address_redirects_or_fails(running_app: TestClient, connection: Connection, text: str) -> None:
    for address in (quote(text, safe="/%:@;=.\\"), f"{PREFIX}/events/{quote(text, safe='')}"):
        answer = running_app.get(f"http://testserver/{address}", follow_redirects=False)
        assert answer.status_code in {200, 401, 404, 405, 422}
        assert "location" not in answer.headers


@with_fixtures
@given(token=st.text(max_size=80))
def test_no_text_of_a_strangers_opens_a_calendar(
    running_app: TestClient, connection: Connection, token: str
) -> None:
    answer = running_app.get(f"{PREFIX}/calendars/{quote(token, safe='')}.ics")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


# Schedules


def read_or_refuse(media_type: str, body: bytes) -> ScheduleFile | None:
    """Read a body as the route does, whose refusals are answered with 422."""
    try:
        return _read(READERS[media_type], body)
    except (InvalidRequest, RequestValidationError):
        return None


conferences = anything.map(lambda days: {"schedule": {"conference": {"days": days}}})
talks = mostly("guid", "date", "duration", "title", "room", "abstract", "description", "persons").map(
    lambda talk: {"schedule": {"conference": {"days": [{"rooms": {"A": [talk]}}]}}}
)


@given(
    st.binary() | st.text().map(str.encode) | (anything | conferences | talks).map(json.dumps).map(str.encode)
)
def test_a_schedule_in_json_is_read_or_refused(body: bytes) -> None:
    read_or_refuse("application/json", body)


@st.composite
def damaged(draw: st.DrawFn, whole: str) -> bytes:
    """Cut a piece out of a text and put another in."""
    first, last = sorted(draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    return (whole[:first] + draw(st.text(max_size=30)) + whole[last:]).encode()


@given(st.binary() | st.text().map(str.encode) | damaged(EXAMPLE_XML))
def test_a_schedule_in_xml_is_read_or_refused(body: bytes) -> None:
    read_or_refuse("application/xml", body)


@given(damaged(json.dumps(EXAMPLE)))
def test_a_schedule_in_json_that_was_damaged_is_read_or_refused(body: bytes) -> None:
    read_or_refuse("application/json", body)


def test_the_undamaged_schedules_are_read() -> None:
    for media_type, whole in (("application/json", json.dumps(EXAMPLE)), ("text/xml", EXAMPLE_XML)):
        read = read_or_refuse(media_type, whole.encode())
        assert read is not None
        assert [talk.title for talk in read.talks] == ["Un país de eventos"]


@given(name=st.text(min_size=1).map(printable), title=st.text().map(printable))
def test_what_is_written_as_xml_is_read_again(name: str, title: str) -> None:
    (day,) = read_xml(write_xml(schedule({name: [{**TALK, "title": title}]})))["schedule"]["conference"][
        "days"
    ]
    assert [(room, talk["title"]) for room, talks in day["rooms"].items() for talk in talks] == [
        (name, title)
    ]


@given(st.binary())
def test_xml_is_read_or_refused(body: bytes) -> None:
    with suppress(NotAScheduleError):
        read_xml(body)


# Calendars and tables


@given(summary=st.text(), location=st.text(), description=st.text(), name=st.text())
def test_no_text_breaks_out_of_its_line_in_a_calendar(
    summary: str, location: str, description: str, name: str
) -> None:
    moment = datetime(2031, 3, 1, 14, tzinfo=UTC)
    texts = {"SUMMARY": summary, "LOCATION": location, "DESCRIPTION": description}
    entry = Entry("1@mis-eventos", 1, moment, moment, moment, "UTC", EntryStatus.CONFIRMED, *texts.values())
    written = document(Calendar(name, [entry])).write()
    assert max(map(len, written.split(b"\r\n"))) <= 75
    (event,) = icalendar.Calendar.from_ical(written).walk("VEVENT")
    assert {field: str(event.get(field, "")) for field in texts} == {
        field: printable(text) for field, text in texts.items()
    }


@given(
    st.lists(
        st.text(max_size=30) | st.text("=+-@\t\r\n'\",;\uff1d\uff0b\uff0d\uff20", max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_no_cell_of_a_table_is_a_formula_and_every_cell_is_read_again(cells: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(_lines([cells]), newline=""))
    assert [cell for cell in row if cell.startswith(FORMULA_STARTS)] == []
    assert [
        shown.removeprefix("'") if cell.startswith(FORMULA_STARTS) else shown
        for shown, cell in zip(row, cells, strict=True)
    ] == cells


# Settings


@given(st.text(max_size=60) | st.text("[]\"',*a. \t", max_size=30))
def test_a_list_in_a_setting_is_read_or_refused(text: str) -> None:
    for name in ("cors_origins", "allow_hosts"):
        setting: Any = {name: text}
        with suppress(ValidationError):
            Settings(_env_file=None, secret_key=SECRET, **setting)


@given(
    st.lists(st.from_regex(r"(\*\.)?[a-z0-9-]{1,20}(\.[a-z]{2,5})?", fullmatch=True), min_size=1, max_size=5)
)
def test_a_list_in_a_setting_is_the_same_in_either_form(hosts: list[str]) -> None:
    for form in (",".join(hosts), " , ".join(f'"{host}"' for host in hosts), json.dumps(hosts)):
        setting: Any = {"allow_hosts": form}
        assert Settings(_env_file=None, secret_key=SECRET, **setting).allow_hosts == hosts
