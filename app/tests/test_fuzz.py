"""Requests that nobody thought of, made from the service's own document and sent by everybody there is.

`make check` sends a few thousand of them, the same each time; `make fuzz` sends many more, and others.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, CheckContext, Config, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Connection

from app.core.problems import MEDIA_TYPE
from app.models.enums import EventStatus, Role
from app.tests.conftest import PREFIX, SECRET, Caller
from app.tests.factories import PASSWORD, Factory
from app.tests.routers.conftest import SignedIn
from app.tests.routers.test_access import ROUTES, Scene, answers, stage
from app.tests.test_openapi import ProblemDocument

EVERYBODY = ("anonymous", "stranger", "organizer", "staff", "manager", "owner", "admin")
STEPS = 8

# What shows the inside of the service, or a secret that somebody else brought.
INNER = re.compile(rf"Traceback|psycopg2|sqlalchemy|INSERT INTO|\$argon2|{SECRET}|{PASSWORD}", re.IGNORECASE)


def refusals_are_problems(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Check that what is refused is refused as a whole problem, and that nothing inner is in any answer."""
    if response.status_code >= 400:
        assert response.headers["content-type"] == [MEDIA_TYPE], case
        assert ProblemDocument.model_validate_json(response.content).status == response.status_code, case
    assert INNER.search(response.content.decode()) is None, case


CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    refusals_are_problems,
]


def moderately(share: int) -> settings:
    """Make one example where the profile makes ``share``: each is a request, and there are many routes."""
    return settings(
        max_examples=settings.default.max_examples // share,  # type: ignore[union-attr]
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="session")
def schema(app: FastAPI) -> BaseSchema:
    """Read the document; who calls is ours to say."""
    config = Config.from_dict({"generation": {"with-security-parameters": False}})
    return schemathesis.openapi.from_dict(app.openapi(), config=config)


@pytest.fixture
def scenes(running_app: TestClient, signed_in: SignedIn, make: Factory) -> dict[EventStatus, Scene]:
    """Make an event that all may see and a draft, and somebody who runs neither of them."""
    scenes = {
        status: stage(status, running_app, signed_in, make)
        for status in (EventStatus.PUBLISHED, EventStatus.DRAFT)
    }
    for scene in scenes.values():
        organizer = make.user(role=Role.ORGANIZER)
        make.event(organizer)
        scene.callers["organizer"] = signed_in(organizer)
    return scenes


@pytest.fixture
def sent(record_property: Callable[[str, object], None]) -> Iterator[Counter[str]]:
    """Count what is made and how it is answered, for the summary at the end."""
    counts: Counter[str] = Counter()
    yield counts
    for name, count in counts.items():
        record_property(f"fuzz {name}", count)


def send(caller: Caller, case: Case[Any]) -> Response:
    """Send a request as it was made, and return the answer."""
    wire = requests.Request(**case.as_transport_kwargs("http://testserver")).prepare()
    headers = {
        name: value.encode("latin-1") if isinstance(value, str) else value
        for name, value in wire.headers.items()
    }
    path = str(wire.path_url).removeprefix(PREFIX)
    return Response.from_any(caller.request(str(wire.method), path, headers=headers, content=wire.body))


def aim(case: Case[Any], named: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Point a request that was made at random at what is there."""
    case.path_parameters = {name: named[name] for name in case.path_parameters}
    if case.operation.query.get("event_id") is not None:
        case.query = {**case.query, "event_id": named["event_id"]}
    if isinstance(case.body, dict):
        case.body = {**case.body, **body}


@pytest.mark.parametrize("route", ROUTES)
def test_whatever_anybody_sends_is_answered_as_the_document_says_and_serves_nobody_else(
    route: str,
    schema: BaseSchema,
    scenes: dict[EventStatus, Scene],
    connection: Connection,
    sent: Counter[str],
) -> None:
    call = ROUTES[route]
    operation = operation_of(schema, route)
    made = st.one_of(*(operation.as_strategy(mode) for mode in GenerationMode))

    @moderately(4)
    @given(
        case=made,
        name=st.sampled_from(EVERYBODY),
        status=st.sampled_from(list(scenes)),
        aimed=st.sampled_from(["nowhere", "there", "well"]),
    )
    def send_one(case: Case[Any], name: str, status: EventStatus, aimed: str) -> None:
        scene = scenes[status]
        checks = CHECKS
        if aimed == "nowhere":
            # Pointing a request at something may mend what was wrong with it, and it may be accepted then.
            checks = [*CHECKS, negative_data_rejection]
        else:
            body = call.body(scene) if call.body else {}
            ids = {"event_id": getattr(scene, call.event), "session_id": getattr(scene, call.session)}
            needed = {field: value for field, value in body.items() if field in {"event_id", "moves"}}
            aim(case, {**vars(scene), **ids}, body if aimed == "well" else needed)
        before = connection.begin_nested()
        response = send(scene.callers[name], case)
        before.rollback()
        sent["cases"] += 1
        sent[f"answered {response.status_code // 100}xx"] += 1
        case.validate_response(response, checks=checks)
        due = answers(call, status)["stranger" if name == "organizer" else name]
        if due >= 400 and (aimed != "nowhere" or name == "anonymous"):
            assert response.status_code >= 400, case.as_curl_command()

    send_one()


@pytest.mark.parametrize("name", EVERYBODY)
def test_whatever_follows_from_an_answer_is_answered_as_the_document_says(
    name: str,
    schema: BaseSchema,
    scenes: dict[EventStatus, Scene],
    connection: Connection,
    sent: Counter[str],
) -> None:
    """Go on with the ids that were answered: what was made is read, changed and deleted, in any order."""
    caller = scenes[EventStatus.PUBLISHED].callers[name]

    class Visit(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.before = connection.begin_nested()
            sent["visits"] += 1

        def teardown(self) -> None:
            self.before.rollback()

        def call(self, case: Case[Any], **_: Any) -> Response:
            response = send(caller, case)
            sent["cases"] += 1
            sent[f"answered {response.status_code // 100}xx"] += 1
            return response

        def validate_response(self, response: Response, case: Case[Any], **_: Any) -> None:
            case.validate_response(response, checks=[*CHECKS, negative_data_rejection])

    Visit.run(settings=settings(moderately(20), stateful_step_count=STEPS))


def operation_of(schema: BaseSchema, route: str) -> APIOperation[Any, Any, Any, Any]:
    """Find a route of the table in the document."""
    method, path = route.split(" ")
    prefix = "" if path.startswith("/health") else PREFIX
    operation: APIOperation[Any, Any, Any, Any] = schema[prefix + path][method]
    return operation
