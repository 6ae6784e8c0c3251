"""Documents are sent once to whoever names their tag."""

from threading import get_ident
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from app.core.documents import Document, document_response
from app.core.gate import Threads


def never() -> bytes:
    raise AssertionError("written for somebody who has it")


DOCUMENT = Document("text/plain", "state", lambda: b"text")
TAG = DOCUMENT.tag


def received(document: Document) -> Any:
    """Return what a client gets that has nothing yet."""
    app = Starlette(routes=[Route("/", lambda _: document_response(document, None))])
    app.state.paperwork = Threads(1, 0)
    return TestClient(app).get("/")


def test_a_document_is_sent_with_its_tag() -> None:
    response = received(DOCUMENT)
    assert (response.status_code, response.content) == (200, b"text")
    assert response.headers["etag"] == TAG
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


def test_a_document_is_written_when_it_is_sent_and_on_a_thread_for_that() -> None:
    wrote: list[int] = []

    def write() -> bytes:
        wrote.append(get_ident())
        return b"text"

    document = Document("text/plain", "state", write)
    document_response(document, None)
    assert wrote == []
    assert received(document).text == "text"
    assert len(wrote) == 1
    assert wrote != [get_ident()]


@pytest.mark.parametrize(
    "known", [TAG, f"W/{TAG}", f'"other", {TAG}', "*", f'{TAG[:-1]}-gzip"', f' "a" ,W/{TAG[:-1]}-gzip"']
)
def test_whoever_has_it_is_told_so_and_nothing_is_written(known: str) -> None:
    response = document_response(Document("text/plain", "state", never), known)
    assert (response.status_code, response.body) == (304, b"")
    assert response.headers["etag"].replace("-gzip", "") == TAG


@pytest.mark.parametrize("known", ["", '"other"', TAG.strip('"'), f"{TAG}x", "W/"])
def test_whoever_has_another_gets_it(known: str) -> None:
    assert document_response(DOCUMENT, known).status_code == 200


def test_what_is_private_is_for_no_shared_cache() -> None:
    private = Document("text/plain", "state", lambda: b"text", private=True)
    for known in (None, TAG):
        assert document_response(private, known).headers["cache-control"] == "private, no-cache"
