"""What happens before the first request: find the database, and in development bring up its schema."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from app.core.embedded_postgres import EmbeddedPostgresError, running
from app.core.migrations import is_migrated, upgrade
from app.core.settings import DATA, Environment, Settings

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which workers share their metrics. Prometheus' library reads it when it is imported."""

logger = logging.getLogger(__name__)


class CannotStart(SystemExit):
    """Stop the start with one readable message and no traceback."""


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yield the address of the database; without one set, of an embedded server that runs meanwhile."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    try:
        with running(DATA / "postgres") as url:
            yield url
    except EmbeddedPostgresError as error:
        raise CannotStart(str(error)) from None


@contextmanager
def metrics_shared() -> Iterator[None]:
    """Let the processes that are started meanwhile share their metrics, in a folder that is new and goes."""
    with TemporaryDirectory(prefix="mis-eventos-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[METRICS_FOLDER]


def prepare(settings: Settings, engine: Engine) -> None:
    """Bring up the schema in development; in production say that the operator has to, if so."""
    try:
        if is_migrated(engine):
            return
        if settings.env is Environment.DEV:
            upgrade(engine)
        else:
            logger.warning("the database is not migrated; run 'events migrate'")
    except OperationalError as error:
        if settings.env is Environment.DEV:
            raise CannotStart(
                f"The database cannot be reached; check DATABASE_URL. It said: {str(error.orig).strip()}"
            ) from None
        logger.warning("the database does not answer yet: %s", error.orig)
