"""Metrics for Prometheus: what was asked and answered, how long it took, and how full the queues are.

What is counted while a request is served costs microseconds. How full things are is looked at when somebody
asks, and once a second where several workers share their figures.
"""

import os
import platform
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from pathlib import Path

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from pydantic import SecretStr
from starlette.responses import Response

from app.core.exceptions import Problem, Unauthorized
from app.core.startup import METRICS_FOLDER

PATH = "/metrics"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one application; where several workers share a folder, of all of them together."""

    def __init__(self, version: str) -> None:
        """Count from zero."""
        own = CollectorRegistry()
        self._registry = own
        self._requests = Counter(
            "http_requests",
            "Requests answered; problem is the slug of a refusal.",
            ["method", "route", "status", "problem"],
            registry=own,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time from the request to the end of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=own,
        )
        self._batch_sizes = Histogram(
            "mis_eventos_batch_size", "Members of a group commit.", ["queue"], buckets=SIZES, registry=own
        )
        self._batch_waits = Histogram(
            "mis_eventos_batch_wait_seconds",
            "Time that the first member of a group commit had waited.",
            ["queue"],
            buckets=SECONDS,
            registry=own,
        )
        self._decisions = Counter(
            "mis_eventos_decisions", "What group commits decided.", ["queue", "outcome"], registry=own
        )
        self._readers = Histogram(
            "mis_eventos_look_readers", "Readers who shared one look.", buckets=SIZES, registry=own
        )
        self._waiting = Gauge(
            "mis_eventos_waiting",
            "Those who wait in a queue.",
            ["queue"],
            registry=own,
            multiprocess_mode="livesum",
        )
        self._in_use = Gauge(
            "mis_eventos_connections_in_use",
            "Connections to the database that somebody has.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._in_flight = Gauge(
            "http_requests_in_flight",
            "Requests that are not answered yet.",
            registry=own,
            multiprocess_mode="livesum",
        )
        Gauge(
            "mis_eventos_build_info",
            "Always 1; the labels say what runs.",
            ["version", "python"],
            registry=own,
            multiprocess_mode="max",
        ).labels(version, platform.python_version()).set(1)
        self.in_flight = 0
        self._counted: dict[tuple[str, str, int, str], tuple[Counter, Histogram]] = {}
        self._readings: list[tuple[Gauge, Callable[[], int]]] = []

    def count(self, method: str, route: str, status: int, problem: str, seconds: float) -> None:
        """Count one request."""
        # A client may make up methods; nobody makes up routes, statuses and problems.
        key = (method if method in METHODS else "other", route, status, problem)
        counted = self._counted.get(key)
        if counted is None:
            # Kept: to find them by their labels takes longer than to count.
            counted = self._counted[key] = (self._requests.labels(*key), self._seconds.labels(*key[:2]))
        requests, durations = counted
        requests.inc()
        durations.observe(seconds)

    def of_batches(self, queue: str) -> Callable[[Sequence[object], float], None]:
        """Return what counts the batches of a group commit."""
        sizes, waits = self._batch_sizes.labels(queue), self._batch_waits.labels(queue)

        def notice(outcomes: Sequence[object], longest_wait: float) -> None:
            sizes.observe(len(outcomes))
            waits.observe(longest_wait)
            for outcome, number in Tally(map(_called, outcomes)).items():
                self._decisions.labels(queue, outcome).inc(number)

        return notice

    def of_looks(self, readers: int) -> None:
        """Count one look that ``readers`` share."""
        self._readers.observe(readers)

    def watch(self, connections: Callable[[], int], waiting: Mapping[str, Callable[[], int]]) -> None:
        """Look at these whenever somebody asks: the connections in use, and how many wait in each queue."""
        self._readings = [
            (self._in_flight, lambda: self.in_flight),
            (self._in_use, connections),
            *((self._waiting.labels(queue), read) for queue, read in waiting.items()),
        ]

    async def share(self) -> None:
        """Let the other workers know how full this one is."""
        self._look()

    def _look(self) -> None:
        for gauge, read in self._readings:
            gauge.set(read())

    def exposition(self) -> bytes:
        """Write all figures in Prometheus' text format."""
        self._look()
        folder = os.environ.get(METRICS_FOLDER)
        if folder is None:
            return generate_latest(self._registry)
        _forget_the_dead(folder)
        everybodys = CollectorRegistry()
        MultiProcessCollector(everybodys, folder)  # type: ignore[no-untyped-call]
        return generate_latest(everybodys)


def serve_metrics(app: FastAPI, metrics: Metrics, token: SecretStr | None) -> None:
    """Answer ``metrics`` at ``PATH``, to those who have the token if there is one."""
    expected = token and f"Bearer {token.get_secret_value()}".encode()

    def show(request: Request) -> Response:
        sent = request.headers.get("authorization", "").encode("latin-1")
        if expected and not compare_digest(sent, expected):
            raise Unauthorized("Send the token of METRICS_TOKEN in the Authorization header.")
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    app.add_api_route(PATH, show, include_in_schema=False)


def _called(outcome: object) -> str:
    """Name an outcome: the slug of a refusal, or the state of what was given."""
    if isinstance(outcome, Problem):
        return outcome.slug()
    if isinstance(outcome, Exception):
        return "failed"
    return str(getattr(outcome, "status", "seated")).lower()


def _forget_the_dead(folder: str) -> None:
    """Take the queues of workers away that are gone; what they have counted stays."""
    for file in Path(folder).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
