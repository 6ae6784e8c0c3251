"""Documents are sent once to whoever names their tag."""

import pytest

from app.core.documents import Document, document_response


def never() -> bytes:
    raise AssertionError("written for somebody who has it")


DOCUMENT = Document("text/plain", "state", lambda: b"text")
TAG = DOCUMENT.tag


def test_a_document_is_sent_with_its_tag() -> None:
    response = document_response(DOCUMENT, None)
    assert (response.status_code, response.body) == (200, b"text")
    assert response.headers["etag"] == TAG
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


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
