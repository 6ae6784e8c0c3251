"""The application, put together. Read it as a table of contents."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import services
from app.core import openapi
from app.core.chores import every
from app.core.coalescing import GroupCommit
from app.core.database import Database, Store, TimeLimits
from app.core.docs import serve_docs
from app.core.draining import Draining
from app.core.exceptions import InvalidRequest, Overloaded, ReadOnlyDatabase, TooManyRequests, Unavailable
from app.core.gate import Threads
from app.core.logging import configure_logging
from app.core.metrics import Metrics, serve_metrics
from app.core.middleware import (
    BodyLimit,
    CompressedTags,
    Failures,
    HeadRequests,
    RequestLog,
    RequestMetrics,
    SecurityHeaders,
    TrailingSlash,
    TrustedHosts,
)
from app.core.problems import DATABASE_TROUBLE, install_problem_handlers, problems
from app.core.rate_limits import Limiter, RateLimits
from app.core.security import Hashing, Seals, Tokens
from app.core.settings import DefaultSettings, Environment, Settings, load_settings
from app.core.startup import database_url, prepare
from app.core.tracing import Tracing
from app.core.uses import Uses
from app.dependencies.views import Views
from app.models.constraints import explain
from app.routers import (
    aliases,
    api_keys,
    audit_entries,
    auth,
    calendars,
    check_ins,
    events,
    health,
    moves,
    registrations,
    rooms,
    schedules,
    seats,
    sessions,
    sign_ins,
    speakers,
    teams,
    users,
)

VERSION = "0.1.0"
OTHER_THREADS = 20
PAPERWORK_THREADS = 2
SECONDS_BETWEEN_CHORES = 60.0
SECONDS_BETWEEN_LOOKS = 1.0
ROWS_FORGOTTEN_AT_ONCE = 10_000
LARGER_BODIES = {"schedule": 4 * 1_048_576}


def create_app(settings: Settings | None = None) -> FastAPI:
    """Put the application together.

    Raises:
        InvalidSettings: a setting cannot be used; the process stops and says which.

    """
    settings = settings or load_settings()
    configure_logging(
        level="DEBUG" if settings.debug else settings.log_level,
        style=settings.log_format,
        statements=settings.debug,
    )
    openapi_url = "/openapi.json" if settings.docs_enabled else None
    tracing = Tracing(VERSION, settings.otel_exporter_otlp_endpoint)
    app = FastAPI(
        title="Mis Eventos",
        version=VERSION,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        openapi_url=openapi_url,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        responses=problems(InvalidRequest, TooManyRequests, Overloaded, Unavailable),
        generate_unique_id_function=_operation_id,
        telemetry=tracing.config,
    )
    app.state.settings = settings
    secret = settings.secret_key.get_secret_value()
    app.state.tokens = Tokens(
        secret,
        timedelta(minutes=settings.access_token_expire_minutes),
        timedelta(days=settings.refresh_token_expire_days),
    )
    app.state.cursor_seals = Seals(secret, "cursors")
    app.state.limiter = Limiter(settings)
    app.state.tracing = tracing
    app.state.draining = Draining(settings.drain_seconds)
    app.state.metrics = Metrics(VERSION)
    _add_routes(app, settings.api_v1_prefix)
    if settings.metrics_enabled:
        serve_metrics(app, app.state.metrics, settings.metrics_token)
    policies = serve_docs(app, openapi_url) if openapi_url else {}
    openapi.describe_problems(app)
    install_problem_handlers(app, explain)
    _add_middleware(app, settings, policies)
    return app


def _add_routes(app: FastAPI, prefix: str) -> None:
    app.include_router(health.router)
    # What comes early is found fastest: the events, which everybody reads, and then the registrations, which
    # are in a hurry. The aliases stand before these: `/registrations/events` is no registration's id.
    for module in (
        events,
        aliases,
        registrations,
        seats,
        sessions,
        auth,
        users,
        sign_ins,
        api_keys,
        teams,
        moves,
        speakers,
        rooms,
        check_ins,
        calendars,
        schedules,
        audit_entries,
    ):
        app.include_router(module.router, prefix=prefix)


def _add_middleware(app: FastAPI, settings: Settings, policies: dict[str, str]) -> None:
    """Wrap the application; what is added last is met first."""
    app.add_middleware(Failures)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, larger=LARGER_BODIES)
    app.add_middleware(TrailingSlash)
    if settings.gzip_enabled:
        app.add_middleware(GZipMiddleware, minimum_size=1_024, compresslevel=5)
        app.add_middleware(CompressedTags)
    app.add_middleware(RateLimits, limiter=app.state.limiter, tokens=app.state.tokens)
    app.add_middleware(HeadRequests)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[
            "ETag",
            "Location",
            "RateLimit",
            "RateLimit-Policy",
            "Retry-After",
            "X-Request-ID",
        ],
    )
    app.add_middleware(TrustedHosts, allowed=settings.allow_hosts)
    app.add_middleware(
        SecurityHeaders,
        content_security=policies,
        strict_transport=settings.env is Environment.PROD,
    )
    app.add_middleware(RequestLog)
    if settings.metrics_enabled:
        app.add_middleware(RequestMetrics, metrics=app.state.metrics)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the application needs while it serves: the database and the threads."""
    settings: Settings = app.state.settings
    metrics: Metrics = app.state.metrics
    tracing: Tracing = app.state.tracing
    async with AsyncExitStack() as stack:
        stack.enter_context(app.state.draining.listening())
        url = await to_thread.run_sync(stack.enter_context, database_url(settings))
        store = Store(
            url,
            pool_size=settings.db_pool_size,
            queue_size=settings.db_queue_size,
            group_commits=2,
            limits=TimeLimits(
                queue=settings.queue_timeout,
                statement=settings.statement_timeout,
                lock=settings.lock_timeout,
                idle=settings.idle_transaction_timeout,
            ),
            observed=settings.debug or tracing.on,
        )
        stack.callback(store.close)
        # A migration may take longer than a request.
        with store.apart() as engine:
            await to_thread.run_sync(prepare, settings, engine)
        stack.enter_context(tracing.sending(store.engine))
        # Whoever is through the gate finds a thread at once, and a few are left for the rest.
        to_thread.current_default_thread_limiter().total_tokens = settings.db_pool_size + OTHER_THREADS
        app.state.store = store
        stack.push_async_callback(app.state.limiter.close)
        queue, patience = settings.db_queue_size, settings.queue_timeout
        in_groups = partial(
            GroupCommit, queue=queue, patience=patience, common=(*DATABASE_TROUBLE, ReadOnlyDatabase)
        )
        admit = tracing.batches("registrations", store.serving(services.registrations.admit))
        app.state.admissions = admissions = await stack.enter_async_context(
            in_groups(admit, notice=metrics.of_batches("registrations"))
        )
        take = tracing.batches("seats", store.serving(services.seats.take))
        app.state.seatings = seatings = await stack.enter_async_context(
            in_groups(take, notice=metrics.of_batches("seats"))
        )
        app.state.key_uses = Uses()
        forgetting = (services.idempotency, services.sign_ins, services.api_keys)
        chores: list[Callable[[Database], None]] = [
            *(partial(kept.forget_expired, limit=ROWS_FORGOTTEN_AT_ONCE) for kept in forgetting),
            partial(services.api_keys.write_uses, uses=app.state.key_uses),
        ]
        for chore in chores:
            await stack.enter_async_context(every(SECONDS_BETWEEN_CHORES, partial(store.chore, chore)))
        app.state.views = views = Views(store, queue=queue, patience=patience, notice=metrics.of_looks)
        app.state.hashing = hashing = Hashing(settings.hasher, settings.hashing_threads, queue, patience)
        stack.callback(hashing.close)
        app.state.paperwork = paperwork = Threads(PAPERWORK_THREADS, queue, patience)
        metrics.watch(
            lambda: store.connections_in_use,
            {
                "database": lambda: store.gate.waiting,
                "registrations": lambda: admissions.waiting,
                "seats": lambda: seatings.waiting,
                "reads": lambda: views.shared.waiting,
                "passwords": lambda: hashing.waiting,
                "documents": lambda: paperwork.gate.waiting,
                "downloads": lambda: store.downloads.waiting,
            },
        )
        if settings.metrics_enabled:
            await stack.enter_async_context(every(SECONDS_BETWEEN_LOOKS, metrics.share))
        yield


def _operation_id(route: APIRoute) -> str:
    return route.name


def schema() -> dict[str, Any]:
    """Return the OpenAPI document of the application as it is by default."""
    return create_app(DefaultSettings(secret_key=SecretStr("signs nothing"))).openapi()
