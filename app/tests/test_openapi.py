"""The document that clients are generated from is the service's own, whole and kept."""

import json
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from app.api import schema
from app.core.problems import MEDIA_TYPE
from app.core.settings import PROJECT
from app.schemas.fields import Input

METHODS = {"get", "post", "put", "patch", "delete"}
FEWEST_WORDS = 4


class ProblemDocument(BaseModel):
    """The members that every problem has."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    title: str
    status: int
    detail: str
    request_id: str


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return schema()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def refusals(operations: dict[str, dict[str, Any]]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                yield name, int(status), response


def test_the_committed_document_is_what_the_service_offers(document: dict[str, Any]) -> None:
    kept = PROJECT / "openapi.json"
    assert kept.exists(), "make it with: events openapi > openapi.json"
    assert json.loads(kept.read_text(encoding="utf-8")) == document, (
        "the service has changed; if you meant it: events openapi > openapi.json"
    )


def test_every_operation_is_described_for_a_person(operations: dict[str, dict[str, Any]]) -> None:
    bare = [
        name
        for name, operation in operations.items()
        if not operation.get("summary") or len(operation.get("description", "").split()) < FEWEST_WORDS
    ]
    assert bare == []


def test_every_operation_has_an_id_of_its_own_that_is_a_name(operations: dict[str, dict[str, Any]]) -> None:
    ids = Counter(operation.get("operationId", "") for operation in operations.values())
    assert [name for name, times in ids.items() if times > 1 or not name.isidentifier()] == []


def test_every_operation_stands_under_tags_that_are_explained(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    explained = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert [name for name, operation in operations.items() if not operation.get("tags")] == []
    assert {tag for operation in operations.values() for tag in operation["tags"]} == explained


def test_every_body_has_an_example(document: dict[str, Any], operations: dict[str, dict[str, Any]]) -> None:
    without = []
    for name, operation in operations.items():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            body = content["schema"]
            if "$ref" in body:
                body = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
            fields = body.get("properties", {}).values()
            each_field = bool(fields) and all("examples" in field or "default" in field for field in fields)
            if not (content.get("examples") or content.get("example") or body.get("examples") or each_field):
                without.append(name)
    assert without == []


def inputs(kind: type[Input] = Input) -> Iterator[type[Input]]:
    for child in kind.__subclasses__():
        yield child
        yield from inputs(child)


def test_every_example_of_a_body_is_accepted() -> None:
    tried = 0
    for model in inputs():
        extra: Any = model.model_config.get("json_schema_extra") or {}
        for example in extra.get("examples", []):
            model.model_validate_json(json.dumps(example))
            tried += 1
    assert tried >= 10


def test_every_refusal_is_a_problem_document(operations: dict[str, dict[str, Any]]) -> None:
    strange = [
        (name, status)
        for name, status, response in refusals(operations)
        if set(response["content"]) != {MEDIA_TYPE}
    ]
    assert strange == []


def test_the_frameworks_own_errors_are_nowhere(document: dict[str, Any]) -> None:
    assert "ValidationError" not in json.dumps(document)


def test_every_refusal_has_examples_and_they_are_what_is_sent(operations: dict[str, dict[str, Any]]) -> None:
    tried = 0
    for name, status, response in refusals(operations):
        examples = response["content"][MEDIA_TYPE]["examples"]
        assert examples, (name, status)
        for slug, example in examples.items():
            problem = ProblemDocument.model_validate(example["value"])
            assert (problem.type, problem.status) == (f"/problems/{slug}", status), name
            assert problem.detail.endswith("."), name
            tried += 1
    assert tried >= 100


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) - named == set()
