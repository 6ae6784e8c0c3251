"""One shape for every refusal, in answers and in the document that describes them."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from app.api import create_app
from app.core.exceptions import InvalidRequest, Problem
from app.core.problems import MEDIA_TYPE, problems
from app.core.settings import Settings
from app.tests.conftest import SECRET


def kinds(base: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


KINDS = sorted(kinds(), key=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Call an application that gives every refusal there is."""
    settings = Settings(
        _env_file=None, database_url="postgresql://x@127.0.0.1:9/x", secret_key=SECRET, log_level="ERROR"
    )
    app = create_app(settings)
    by_name = {kind.__name__: kind for kind in KINDS}

    async def refuse(name: str) -> None:
        raise by_name[name](extra=[1, "two"])

    async def lose_a_race() -> None:
        raise StaleDataError

    async def refuse_as_the_framework_does(status: int) -> None:
        raise HTTPException(status, "inner text")

    app.add_api_route("/refuse/{name}", refuse)
    app.add_api_route("/lose-a-race", lose_a_race)
    app.add_api_route("/framework/{status}", refuse_as_the_framework_does)
    return TestClient(app)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_refusal_is_a_whole_problem_document(client: TestClient, kind: type[Problem]) -> None:
    answer = client.get(f"/refuse/{kind.__name__}")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json() == {
        "type": f"/problems/{kind.slug()}",
        "title": kind.title,
        "status": answer.status_code,
        "detail": kind.default_detail,
        **kind(extra=[1, "two"]).members,
        "request_id": answer.headers["x-request-id"],
    }
    assert answer.status_code == kind.status
    assert {name: answer.headers[name] for name in kind.headers} == dict(kind.headers)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_refusal_reads_as_a_state_with_a_sentence_to_act_on(kind: type[Problem]) -> None:
    assert not kind.__name__.endswith("Exception")
    assert kind.default_detail.endswith(".")
    assert len(kind.default_detail.split()) > 2


def test_every_refusal_has_a_slug_of_its_own_under_its_status_and_every_slug_a_title() -> None:
    slugs = {kind.slug() for kind in KINDS}
    assert len({(kind.status, kind.slug()) for kind in KINDS}) == len(KINDS)
    assert (
        len({(kind.slug(), kind.title) for kind in KINDS})
        == len({kind.title for kind in KINDS})
        == len(slugs)
    )


def test_an_edit_that_came_too_late_is_a_conflict_and_not_a_fault(client: TestClient) -> None:
    answer = client.get("/lose-a-race")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not-found"),
        (405, "method-not-allowed"),
        (413, "content-too-large"),
        (415, "unsupported-media-type"),
        (422, "invalid-request"),
        (500, "internal-error"),
    ],
)
def test_what_the_framework_refuses_has_the_same_shape_and_no_inner_text(
    client: TestClient, status: int, slug: str
) -> None:
    answer = client.get(f"/framework/{status}")
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "inner text" not in answer.text


def test_a_fault_found_by_a_rule_has_the_shape_of_one_found_by_a_schema() -> None:
    assert InvalidRequest.at("end_at", "has to be after start_at").document() == {
        "type": "/problems/invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "/end_at: has to be after start_at.",
        "errors": [{"pointer": "/end_at", "detail": "has to be after start_at"}],
    }


def test_declared_refusals_of_one_status_stand_side_by_side() -> None:
    declared = problems(*(kind for kind in KINDS if kind.status == 409))
    assert list(declared) == [409]
    examples = declared[409]["content"][MEDIA_TYPE]["examples"]
    assert list(examples) == [kind.slug() for kind in KINDS if kind.status == 409]


def refusals(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    yield f"{path} {operation['operationId']}", status, response


def test_every_refusal_in_the_document_is_a_problem_under_its_media_type(app: FastAPI) -> None:
    document = app.openapi()
    for where, status, response in refusals(document):
        content = response["content"]
        assert (where, status, list(content)) == (where, status, [MEDIA_TYPE])
        assert content[MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert content[MEDIA_TYPE]["examples"], where
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
