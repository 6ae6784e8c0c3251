"""Traces by OpenTelemetry: FastAPI's own spans of a request, with one for each statement and each batch.

Nothing in them tells addresses or values: an address may hold a secret, and so may what is written.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode, Tracer
from sqlalchemy import Engine, ExceptionContext, event

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span, TracerProvider

Member = TypeVar("Member")
Outcome = TypeVar("Outcome")

SERVICE = "mis-eventos"


class Tracing:
    """The traces of one application; without an ``endpoint`` there are none, and nothing is asked of them."""

    def __init__(self, version: str, endpoint: str | None) -> None:
        """Send to ``endpoint``, a collector that speaks OTLP over HTTP."""
        self._endpoint = endpoint
        self._provider = None if endpoint is None else _provider(version)
        self._tracer: Tracer = NoOpTracer() if self._provider is None else self._provider.get_tracer(SERVICE)

    @property
    def on(self) -> bool:
        """Tell whether there are traces."""
        return self._provider is not None

    @property
    def config(self) -> TelemetryConfig:
        """Return what FastAPI is to do by itself; measuring and logging are done here already."""
        return {
            "tracer_provider": self._provider,
            "tracing": self._provider is not None,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
        }

    @contextmanager
    def sending(self, engine: Engine) -> Iterator[None]:
        """Trace the statements of ``engine`` too, and send all traces, the last when the context ends."""
        if self._provider is None:
            yield
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{self._endpoint}/v1/traces")))
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", _end)
        event.listen(engine, "handle_error", _fail)
        try:
            yield
        finally:
            self._provider.shutdown()

    def batches(
        self, name: str, serve: Callable[[Sequence[Member]], Sequence[Outcome]]
    ) -> Callable[[Sequence[Member]], Sequence[Outcome]]:
        """Give each batch that ``serve`` serves a trace of its own: it belongs to many requests."""

        def serve_traced(members: Sequence[Member]) -> Sequence[Outcome]:
            with self._tracer.start_as_current_span(name, attributes={"batch.size": len(members)}):
                return serve(members)

        return serve if self._provider is None else serve_traced

    def _begin(self, _: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:  # noqa: FBT001
        context.span = self._tracer.start_span(
            statement.split(maxsplit=1)[0],
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.query.text": statement},
        )


def _end(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:  # noqa: FBT001
    context.span.end()


def _fail(failure: ExceptionContext) -> None:
    span = getattr(failure.execution_context, "span", None)
    if span is not None:
        span.set_attribute("error.type", type(failure.original_exception).__name__)
        span.set_status(StatusCode.ERROR)
        span.end()


def _provider(version: str) -> "TracerProvider":
    # An extra that need not be installed; the settings have seen to it that it is.
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider  # noqa: PLC0415

    class WithoutAddresses(SpanProcessor):
        """Leave the route's template and take the address out, which FastAPI puts in as it came."""

        def on_start(self, span: "Span", parent_context: "Context | None" = None) -> None:  # noqa: ARG002
            for name in ("url.path", "url.query"):
                if name in (span.attributes or {}):
                    span.set_attribute(name, "")

    name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
    resource = Resource.create({"service.name": name, "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(WithoutAddresses())
    return provider
