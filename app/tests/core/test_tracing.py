"""What a collector is told: who waited for what, and no address, no value and no secret."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import text
from sqlalchemy.exc import DataError

from app.api import VERSION, create_app
from app.core.database import Store
from app.core.settings import Settings
from app.tests.conftest import PREFIX, SECRET
from app.tests.factories import PASSWORD
from app.tests.rush import crowd, opened

URL_SECRET = "a-secret-in-the-address"


class Collector(ThreadingHTTPServer):
    """Take in what is sent over OTLP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[Any] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for taken in self.taken
            for r in taken.resource_spans
            for s in r.scope_spans
            for span in s.spans
        ]


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        taken = ExportTraceServiceRequest()
        taken.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.taken.append(taken)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def traced(url: str, collector: Collector) -> TestClient:
    settings = Settings(
        _env_file=None,
        database_url=url,
        secret_key=SECRET,
        log_level="WARNING",
        otel_exporter_otlp_endpoint=collector.endpoint,
    )
    return TestClient(create_app(settings))


def attributes(span: Any) -> dict[str, str]:
    return {item.key: item.value.string_value for item in span.attributes}


def named(collector: Collector, name: str) -> Any:
    [span] = [span for span in collector.spans if span.name == name]
    return span


def test_a_request_is_traced_down_to_its_statements(live: Store, live_url: str, collector: Collector) -> None:
    with traced(live_url, collector) as client:
        client.get(f"{PREFIX}/events", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    request = named(collector, f"GET {PREFIX}/events")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert attributes(request)["http.route"] == f"{PREFIX}/events"
    statements = [
        attributes(span)["db.query.text"]
        for span in collector.spans
        if span.name == "SELECT" and span.trace_id == request.trace_id
    ]
    assert any("FROM events" in statement for statement in statements)
    resource = collector.taken[0].resource_spans[0].resource
    told = attributes(resource)
    assert (told["service.name"], told["service.version"]) == ("mis-eventos", VERSION)


def test_a_batch_is_a_trace_of_its_own(live: Store, live_url: str, collector: Collector) -> None:
    [person] = crowd(live, 1)
    path = f"{PREFIX}/registrations/events/{opened(live, person, 1)}"
    with traced(live_url, collector) as client:
        made = client.post(path, headers={"Authorization": f"Bearer {person.token}"})
        assert made.status_code == 201
    batch = named(collector, "registrations")
    assert [item.value.int_value for item in batch.attributes if item.key == "batch.size"] == [1]
    inserts = [span for span in collector.spans if span.name == "INSERT"]
    assert [span.parent_span_id for span in inserts] == [batch.span_id]


def test_a_statement_that_fails_is_marked(live: Store, live_url: str, collector: Collector) -> None:
    with traced(live_url, collector) as client:
        store: Store = client.app.state.store  # type: ignore[attr-defined]
        with pytest.raises(DataError), store.job() as db:
            db.execute(text("SELECT 1 / 0"))
    failed = [attributes(span) for span in collector.spans if "error.type" in attributes(span)]
    assert [(span["db.query.text"], span["error.type"]) for span in failed] == [
        ("SELECT 1 / 0", "DivisionByZero")
    ]


def test_no_address_no_value_and_no_secret_is_told(live: Store, live_url: str, collector: Collector) -> None:
    [person] = crowd(live, 1)
    with traced(live_url, collector) as client:
        client.post(f"{PREFIX}/auth/register", json={"email": "planted@example.com", "password": PASSWORD})
        client.get(f"{PREFIX}/calendars/{URL_SECRET}.ics")
        client.get(f"{PREFIX}/events", params={"search": URL_SECRET})
        client.get(f"{PREFIX}/nothing/{URL_SECRET}")
        client.get(f"{PREFIX}/users/me", headers={"Authorization": f"Bearer {person.token}"})
    said = "".join(map(str, collector.taken))
    assert "GET /api/v1/calendars/{token}.ics" in said
    assert "INSERT INTO users" in said
    planted = [URL_SECRET, PASSWORD, "planted@example.com", "$argon2id$", person.token, SECRET]
    assert [secret for secret in planted if secret in said] == []
