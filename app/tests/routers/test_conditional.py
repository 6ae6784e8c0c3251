"""Conditional requests: nothing is sent twice, and no editor overwrites another in silence."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.models import Event, User
from app.models.enums import EventStatus, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import PASSWORD, Factory
from app.tests.routers.conftest import SignedIn, at, refused

NAMES = {"name", "title", "full_name"}


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


@pytest.fixture
def event(make: Factory, owner: User) -> Event:
    return make.event(owner, name="Feria", description="Libros y café. " * 100)


@pytest.fixture
def manager(signed_in: SignedIn, make: Factory, event: Event) -> Caller:
    return signed_in(make.member(event, TeamRole.MANAGER))


@pytest.fixture
def paths(make: Factory, owner: User, event: Event) -> dict[str, str]:
    speaker = make.speaker(owner, event=event)
    session = make.session(event, **at(event, 1), room=make.room(event), speakers=(speaker,))
    registration = make.registration(event, owner)
    return {
        "list": "/events",
        "event": f"/events/{event.id}",
        "sessions": f"/sessions?event_id={event.id}",
        "sessions-by-path": f"/sessions/events/{event.id}",
        "session": f"/sessions/{session.id}",
        "speakers": f"/speakers?event_id={event.id}",
        "speaker": f"/speakers/{speaker.id}",
        "rooms": f"/rooms?event_id={event.id}",
        "registration": f"/registrations/{registration.id}",
        "account": "/users/me",
        "calendar": f"/events/{event.id}/calendar.ics",
        "schedule-as-json": f"/events/{event.id}/schedule.json",
        "schedule-as-xml": f"/events/{event.id}/schedule.xml",
    }


EVERYWHERE = pytest.mark.parametrize(
    "name",
    [
        "list",
        "event",
        "sessions",
        "sessions-by-path",
        "session",
        "speakers",
        "speaker",
        "rooms",
        "registration",
        "account",
        "calendar",
        "schedule-as-json",
        "schedule-as-xml",
    ],
)


@EVERYWHERE
def test_whoever_has_an_answer_already_is_told_so_and_sent_nothing(
    me: Caller, paths: dict[str, str], name: str
) -> None:
    first = me.get(paths[name], headers={"Accept-Encoding": "identity"})
    assert first.status_code == 200
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*", f"W/{tag}", tag.removesuffix('"') + '-gzip"'):
        again = me.get(paths[name], headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == first.headers["cache-control"]
    for other in ('"other"', '"0.0"', "", "nonsense"):
        assert me.get(paths[name], headers={"If-None-Match": other}).content == first.content


@EVERYWHERE
def test_head_says_what_get_says_without_the_body(me: Caller, paths: dict[str, str], name: str) -> None:
    got, head = me.get(paths[name]), me.request("HEAD", paths[name])
    varying = {"x-request-id", "ratelimit"}
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in got.headers.items() if k not in varying
    }
    tagged = me.request("HEAD", paths[name], headers={"If-None-Match": got.headers["etag"]})
    assert tagged.status_code == 304


def test_a_compressed_answer_has_a_tag_of_its_own_and_both_are_understood(me: Caller, event: Event) -> None:
    path, origin = f"/events/{event.id}", {"Origin": "http://localhost:5173"}
    plain = me.get(path, headers={"Accept-Encoding": "identity", **origin})
    small = me.get(path, headers={"Accept-Encoding": "gzip", **origin})
    head = me.request("HEAD", path, headers={"Accept-Encoding": "gzip", **origin})
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["etag"] == plain.headers["etag"].removesuffix('"') + '-gzip"'
    assert head.headers["etag"] == small.headers["etag"]
    assert small.json() == plain.json()
    for answer in (plain, small, head):
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert {"Authorization", "Accept-Encoding", "Origin"} <= {
            name.strip() for name in answer.headers["vary"].split(",")
        }
        again = me.get(
            path, headers={"If-None-Match": answer.headers["etag"], "Accept-Encoding": "gzip", **origin}
        )
        assert (again.status_code, again.headers["etag"]) == (304, answer.headers["etag"])
        asked = {"If-None-Match": answer.headers["etag"], "Accept-Encoding": "gzip", **origin}
        empty = me.request("HEAD", path, headers=asked)
        assert (empty.status_code, empty.content) == (304, b"")
        for name in ("etag", "vary", "cache-control", "access-control-allow-origin"):
            assert empty.headers[name] == again.headers[name]


def test_what_all_may_see_is_public_and_what_is_mine_is_private(
    me: Caller, anonymous: Caller, make: Factory, owner: User, paths: dict[str, str]
) -> None:
    draft = make.event(owner, status=EventStatus.DRAFT)
    for name in set(paths) - {"registration", "account"}:
        for caller in (me, anonymous):
            assert caller.get(paths[name]).headers["cache-control"] == "public, no-cache"
    for path in (f"/events/{draft.id}", paths["registration"], paths["account"]):
        assert me.get(path).headers["cache-control"] == "private, no-cache"
    assert refused(anonymous.get(f"/events/{draft.id}")) == (404, "not-found")


def test_a_sale_changes_the_tag_and_stops_no_edit(me: Caller, make: Factory, event: Event) -> None:
    before = me.get(f"/events/{event.id}").headers["etag"]
    make.registration(event)
    after = me.get(f"/events/{event.id}").headers["etag"]
    assert before != after
    assert before.partition(".")[0] == after.partition(".")[0]
    edited = me.patch(f"/events/{event.id}", json={"venue": "Ágora"}, headers={"If-Match": before})
    assert edited.status_code == 200


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("event", {"name": "First"}),
        ("session", {"title": "First"}),
        ("session", {"speaker_ids": []}),
        ("speaker", {"full_name": "First"}),
    ],
)
def test_of_two_editors_with_one_tag_the_second_is_told(
    me: Caller, manager: Caller, paths: dict[str, str], name: str, change: dict[str, Any]
) -> None:
    path, second = paths[name], me if name == "speaker" else manager
    tag = me.get(path).headers["etag"]
    assert me.patch(path, json=change, headers={"If-Match": tag}).status_code == 200
    late = second.patch(path, json=change, headers={"If-Match": tag})
    assert refused(late) == (412, "precondition-failed")
    assert refused(me.delete(path, headers={"If-Match": tag})) == (412, "precondition-failed")
    fresh = me.get(path).headers["etag"]
    assert fresh.partition(".")[0] != tag.partition(".")[0]
    for headers in ({"If-Match": fresh}, {"If-Match": "*"}, {}):
        assert second.patch(path, json=change, headers=headers).status_code == 200


@pytest.mark.parametrize("if_match", ['W/"1.0"', '"2.0"', '"other"', "nonsense", '"01"', ""])
def test_a_tag_that_is_not_the_things_own_stops_the_write(me: Caller, event: Event, if_match: str) -> None:
    answer = me.patch(f"/events/{event.id}", json={"name": "Late"}, headers={"If-Match": if_match})
    assert refused(answer) == (412, "precondition-failed")
    assert me.get(f"/events/{event.id}").json()["name"] == "Feria"


def test_an_account_is_edited_by_its_version(me: Caller, make: Factory, signed_in: SignedIn) -> None:
    tag = me.get("/users/me").headers["etag"]
    for status in (200, 412):
        answer = me.patch("/users/me", json={"full_name": "First"}, headers={"If-Match": tag})
        assert answer.status_code == status
    admin, other = signed_in(make.admin()), make.user()
    for status in (200, 412):
        answer = admin.patch(f"/users/{other.id}", json={"role": "ORGANIZER"}, headers={"If-Match": '"1.0"'})
        assert answer.status_code == status


def test_an_edit_does_not_end_a_token_and_a_new_password_does_whatever_the_version(
    me: Caller, running_app: TestClient
) -> None:
    me.patch("/users/me", json={"full_name": "First"})
    assert me.get("/users/me").headers["etag"].startswith('"2.')
    changed = me.patch("/users/me", json={"password": "another one", "current_password": PASSWORD})
    fresh = Caller(running_app, changed.json()["token"]["access_token"])
    assert fresh.get("/users/me").headers["etag"] == changed.headers["etag"]
    assert me.get("/users/me").status_code == 401


def test_what_was_made_or_changed_is_answered_with_the_tag_that_a_read_then_has(
    me: Caller, event: Event
) -> None:
    times = {name: moment.isoformat() for name, moment in at(event, 3).items()}
    commands = {
        "/events": {"name": "Otra", "capacity_total": 5, **times},
        "/sessions": {"event_id": event.id, "title": "Charla", "room": "Aula", **times},
        "/speakers": {"full_name": "Zoë"},
    }
    read = {"/users/me": {"full_name": "Ana"}}
    for path, command in commands.items():
        made = me.post(path, json=command)
        place = made.headers["location"].removeprefix(PREFIX)
        assert (made.status_code, made.headers["etag"]) == (201, me.get(place).headers["etag"])
        read[place] = {name: f"{text} II" for name, text in command.items() if name in NAMES}
        read[f"{place}?on_agenda_conflict=release"] = {}
    for path, change in read.items():
        changed = me.patch(path, json=change)
        assert (changed.status_code, changed.headers["etag"]) == (200, me.get(path).headers["etag"])
        again = me.patch(path, json=change, headers={"If-Match": changed.headers["etag"]})
        assert again.status_code == 200


def test_a_room_that_was_just_made_can_be_edited_by_its_tag(me: Caller, event: Event) -> None:
    made = me.post("/rooms", json={"event_id": event.id, "name": "Sala"})
    path, tag = f"/rooms/{made.json()['id']}", made.headers["etag"]
    changed = me.patch(path, json={"name": "Salón"}, headers={"If-Match": tag})
    assert changed.headers["etag"].startswith('"2.')
    for named, status in ((tag, 412), (changed.headers["etag"], 204)):
        assert me.delete(path, headers={"If-Match": named}).status_code == status


def test_a_room_is_edited_by_its_version(me: Caller, make: Factory, event: Event) -> None:
    room = make.room(event)
    for version, status in ((1, 200), (1, 412), (2, 200)):
        answer = me.patch(
            f"/rooms/{room.id}", json={"capacity": 10 + version}, headers={"If-Match": f'"{version}.0"'}
        )
        assert answer.status_code == status
    assert me.delete(f"/rooms/{room.id}", headers={"If-Match": '"2.0"'}).status_code == 412
    assert me.delete(f"/rooms/{room.id}", headers={"If-Match": '"3.0"'}).status_code == 204


def test_the_right_to_edit_is_judged_before_the_tag(signed_in: SignedIn, make: Factory, event: Event) -> None:
    stranger = signed_in(make.user())
    answer = stranger.patch(f"/events/{event.id}", json={"name": "Mine"}, headers={"If-Match": '"9.9"'})
    assert refused(answer) == (403, "forbidden")
