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

from app import services
from app.core import openapi
from app.core.chores import every
from app.core.coalescing import GroupCommit
from app.core.database import Database, Store
from app.core.docs import serve_docs
from app.core.exceptions import InvalidRequest, Overloaded, Unavailable
from app.core.logging import configure_logging
from app.core.middleware import (
    BodyLimit,
    CompressedTags,
    Failures,
    HeadRequests,
    RequestLog,
    SecurityHeaders,
    TrailingSlash,
    TrustedHosts,
)
from app.core.problems import DATABASE_TROUBLE, install_problem_handlers, problems
from app.core.security import Hashing, Tokens
from app.core.settings import DefaultSettings, Environment, Settings, load_settings
from app.core.startup import database_url, prepare
from app.core.uses import Uses
from app.dependencies.views import Views
from app.models.constraints import explain
from app.routers import (
    aliases,
    api_keys,
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
SECONDS_BETWEEN_CHORES = 60.0
ROWS_FORGOTTEN_AT_ONCE = 10_000
LARGER_BODIES = {"schedule": 8 * 1_048_576}


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
        responses=problems(InvalidRequest, Overloaded, Unavailable),
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    app.state.tokens = Tokens(
        settings.secret_key.get_secret_value(),
        timedelta(minutes=settings.access_token_expire_minutes),
        timedelta(days=settings.refresh_token_expire_days),
    )
    _add_routes(app, settings.api_v1_prefix)
    policies = serve_docs(app, openapi_url) if openapi_url else {}
    openapi.describe_problems(app)
    install_problem_handlers(app, explain)
    _add_middleware(app, settings, policies)
    return app


def _add_routes(app: FastAPI, prefix: str) -> None:
    app.include_router(health.router)
    # The aliases stand first: `/registrations/events` is no registration's id. What comes early is found
    # fastest, and nothing is in more of a hurry than the registrations.
    for module in (
        aliases,
        registrations,
        seats,
        auth,
        users,
        sign_ins,
        api_keys,
        events,
        teams,
        sessions,
        moves,
        speakers,
        rooms,
        check_ins,
        calendars,
        schedules,
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
    app.add_middleware(HeadRequests)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["ETag", "Location", "Retry-After", "X-Request-ID"],
    )
    app.add_middleware(TrustedHosts, allowed=settings.allow_hosts)
    app.add_middleware(
        SecurityHeaders,
        content_security=policies,
        strict_transport=settings.env is Environment.PROD,
    )
    app.add_middleware(RequestLog)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the application needs while it serves: the database and the threads."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        url = await to_thread.run_sync(stack.enter_context, database_url(settings))
        store = Store(
            url,
            pool_size=settings.db_pool_size,
            queue_size=settings.db_queue_size,
            group_commits=2,
        )
        stack.callback(store.close)
        await to_thread.run_sync(prepare, settings, store.engine)
        # Whoever is through the gate finds a thread at once, and a few are left for the rest.
        to_thread.current_default_thread_limiter().total_tokens = settings.db_pool_size + OTHER_THREADS
        app.state.store = store
        in_groups = partial(GroupCommit, queue=settings.db_queue_size, common=DATABASE_TROUBLE)
        app.state.admissions = await stack.enter_async_context(
            in_groups(store.serving(services.registrations.admit))
        )
        app.state.seatings = await stack.enter_async_context(in_groups(store.serving(services.seats.take)))
        app.state.key_uses = Uses()
        forgetting = (services.idempotency, services.sign_ins, services.api_keys)
        chores: list[Callable[[Database], None]] = [
            *(partial(kept.forget_expired, limit=ROWS_FORGOTTEN_AT_ONCE) for kept in forgetting),
            partial(services.api_keys.write_uses, uses=app.state.key_uses),
        ]
        for chore in chores:
            await stack.enter_async_context(every(SECONDS_BETWEEN_CHORES, partial(store.chore, chore)))
        app.state.views = Views(store, queue=settings.db_queue_size)
        app.state.hashing = Hashing(settings.hasher, settings.hashing_threads, settings.db_queue_size)
        yield


def _operation_id(route: APIRoute) -> str:
    return route.name


def schema() -> dict[str, Any]:
    """Return the OpenAPI document of the application as it is by default."""
    return create_app(DefaultSettings(secret_key=SecretStr("signs nothing"))).openapi()
