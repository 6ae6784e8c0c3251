"""Speakers over HTTP."""

from typing import Any

import pytest

from app.models import User
from app.models.enums import EventStatus, TeamRole
from app.tests.conftest import PREFIX, Caller
from app.tests.factories import Factory, soon
from app.tests.routers.conftest import SignedIn, at, ids, refused, sent


@pytest.fixture
def owner(make: Factory) -> User:
    return make.user()


@pytest.fixture
def me(signed_in: SignedIn, owner: User) -> Caller:
    return signed_in(owner)


WHOLE = {
    "full_name": "Laura Restrepo",
    "headline": "Writes",
    "bio": "Long.",
    "company": "Andes",
    "photo_url": "https://example.com/laura.jpg",
    "links": ["https://example.com/laura", "http://example.org"],
}


def test_a_new_speaker_comes_back_whole(me: Caller) -> None:
    response = me.post("/speakers", json=WHOLE)
    assert response.status_code == 201
    made = response.json()
    assert made == {"id": made["id"], **WHOLE}
    assert response.headers["location"] == f"{PREFIX}/speakers/{made['id']}"
    assert me.get(f"/speakers/{made['id']}").json() == made


def test_a_name_is_enough_to_make_a_speaker(me: Caller) -> None:
    made = me.post("/speakers", json={"full_name": "Ana"}).json()
    nothing = dict.fromkeys(("headline", "bio", "company", "photo_url"))
    assert made == {"id": made["id"], "full_name": "Ana", **nothing, "links": []}


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("full_name", "", "/full_name"),
        ("full_name", "x" * 256, "/full_name"),
        ("bio", "a\0", "/bio"),
        ("bio", "x" * 10_001, "/bio"),
        ("photo_url", "javascript:alert(1)", "/photo_url"),
        ("photo_url", "https://example.com/" + "x" * 2_048, "/photo_url"),
        ("links", ["ftp://example.com"], "/links/0"),
        ("links", ["https://example.com"] * 11, "/links"),
        ("links", None, "/links"),
        ("event_id", 0, "/event_id"),
        ("id", 1, "/id"),
    ],
)
def test_a_speaker_that_is_not_valid_is_refused(me: Caller, field: str, value: object, pointer: str) -> None:
    response = me.post("/speakers", json={"full_name": "Ana", field: value})
    assert refused(response) == (422, "invalid-request")
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_the_line_up_is_who_is_attached_and_who_speaks_by_name_each_once(
    anonymous: Caller, me: Caller, make: Factory, owner: User
) -> None:
    event = make.event(owner)
    both, speaking = make.speaker(event=event, full_name="Beta"), make.speaker(full_name="Gamma")
    make.session(event, speakers=(both, speaking))
    make.session(event, speakers=(both,), **at(event, 1))
    make.session(event, speakers=(make.speaker(full_name="Left"),), deleted_at=soon(-1))
    make.speaker(event=make.event(), full_name="Elsewhere")
    attached = me.post("/speakers", json={"full_name": "Alfa", "event_id": event.id})
    assert attached.status_code == 201
    line_up = anonymous.get(f"/speakers?event_id={event.id}")
    assert [speaker["full_name"] for speaker in line_up.json()] == ["Alfa", "Beta", "Gamma"]
    assert line_up.json()[0] == attached.json()


def test_a_speaker_joins_no_event_of_another(me: Caller, make: Factory, owner: User) -> None:
    draft = make.event(status=EventStatus.DRAFT)
    for event_id, answer in (
        (make.event().id, (403, "forbidden")),
        (draft.id, (404, "not-found")),
        (2**31 - 1, (404, "not-found")),
    ):
        response = me.post("/speakers", json={"full_name": "Ana", "event_id": event_id})
        assert refused(response) == answer
    assert me.get("/users/me/speakers").json()["total"] == 0


def test_a_speaker_in_no_public_event_is_shown_only_to_who_knows_them(
    anonymous: Caller, signed_in: SignedIn, make: Factory
) -> None:
    maker = make.user()
    draft = make.event(status=EventStatus.DRAFT)
    attached, speaking = make.speaker(maker, draft), make.speaker(maker)
    make.session(draft, speakers=(speaking,))
    knowing = [maker, make.admin(), make.member(draft, TeamRole.STAFF), draft.created_by]
    for speaker in (attached, speaking):
        path = f"/speakers/{speaker.id}"
        for caller in (anonymous, signed_in(make.user())):
            assert refused(caller.get(path)) == (404, "not-found")
        for user in knowing:
            known = user if isinstance(user, User) else make.db.get_one(User, user)
            assert signed_in(known).get(path).status_code == 200


def test_a_speaker_of_no_event_is_shown_to_their_maker_only(
    anonymous: Caller, me: Caller, make: Factory, owner: User
) -> None:
    for speaker in (make.speaker(owner), make.speaker(owner, make.event(deleted_at=soon(-1)))):
        assert refused(anonymous.get(f"/speakers/{speaker.id}")) == (404, "not-found")
        assert me.get(f"/speakers/{speaker.id}").status_code == 200


def test_a_speaker_is_edited_by_their_maker_and_not_by_the_event_s_owner(
    me: Caller, signed_in: SignedIn, make: Factory, owner: User
) -> None:
    maker = make.user()
    speaker = make.speaker(maker, make.event(owner), headline="Before")
    path = f"/speakers/{speaker.id}"
    assert refused(me.patch(path, json={"headline": "Mine"})) == (403, "forbidden")
    assert refused(me.delete(path)) == (403, "forbidden")
    edited = signed_in(maker).patch(path, json={"headline": None, "links": ["https://example.com"]})
    assert edited.status_code == 200
    assert (edited.json()["full_name"], edited.json()["headline"]) == ("Speaker", None)
    assert edited.json()["links"] == ["https://example.com"]


def test_a_name_cannot_be_cleared(me: Caller, make: Factory, owner: User) -> None:
    for field in ("full_name", "links"):
        response = me.patch(f"/speakers/{make.speaker(owner).id}", json={field: None})
        assert refused(response) == (422, "invalid-request")


def test_a_speaker_with_sessions_is_not_deleted_and_hidden_sessions_show_their_times_only(
    me: Caller, make: Factory, owner: User
) -> None:
    speaker = make.speaker(owner)
    mine, hidden = make.event(owner), make.event(status=EventStatus.DRAFT)
    seen = make.session(mine, title="Seen", room=make.room(mine, name="Aula"), speakers=(speaker,))
    make.session(hidden, title="Secret", speakers=(speaker,), **at(hidden, 5))
    response = me.delete(f"/speakers/{speaker.id}")
    assert refused(response) == (409, "speaker-has-sessions")
    assert response.json()["sessions"] == [
        {
            "session_id": seen.id,
            "title": "Seen",
            **sent(at(mine, 0)),
            "room": "Aula",
            "speaker_ids": [speaker.id],
        },
        sent(at(hidden, 5)),
    ]


def test_a_speaker_without_sessions_is_deleted_from_every_line_up(
    anonymous: Caller, me: Caller, make: Factory, owner: User
) -> None:
    event = make.event(owner)
    speaker = make.speaker(owner, event)
    make.session(event, speakers=(speaker,), deleted_at=soon(-1))
    make.session(make.event(deleted_at=soon(-1)), speakers=(speaker,))
    response = me.delete(f"/speakers/{speaker.id}")
    assert (response.status_code, response.content) == (204, b"")
    assert refused(me.get(f"/speakers/{speaker.id}")) == (404, "not-found")
    assert ids(anonymous.get(f"/speakers?event_id={event.id}")) == []


def test_my_speakers_are_those_i_made_by_name(me: Caller, make: Factory, owner: User) -> None:
    make.speaker(full_name="Not mine", event=make.event(owner))
    beta, alfa = (make.speaker(owner, full_name=name).id for name in ("Beta 100%", "alfa"))
    response = me.get("/users/me/speakers")
    assert (sorted(ids(response)), response.json()["total"]) == ([beta, alfa], 2)
    assert ids(me.get("/users/me/speakers", params={"search": "ALFA"})) == [alfa]
    assert ids(me.get("/users/me/speakers", params={"search": "%"})) == [beta]
    second = me.get("/users/me/speakers", params={"page": 2, "size": 1}).json()
    assert (len(second["items"]), second["page"], second["size"]) == (1, 2, 1)


def test_lists_cost_the_same_queries_whatever_their_length(
    anonymous: Caller, me: Caller, make: Factory, owner: User, statements: list[str]
) -> None:
    event, costs = make.event(owner), list[Any]()
    line_up = f"/speakers?event_id={event.id}"
    for more in (1, 2):
        for _ in range(more):
            make.speaker(owner, event)
        for caller, path in ((anonymous, line_up), (me, "/users/me/speakers")):
            statements.clear()
            response = caller.get(path)
            costs.append((len(ids(response)), len(statements)))
    assert costs == [(1, 2), (1, 3), (3, 2), (3, 3)]
