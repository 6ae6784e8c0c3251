"""Logs: one line a request, in text for people or JSON for machines, each with its request id."""

import logging
import logging.config
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class _WithRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def configure_logging(*, level: str, style: str, statements: bool = False) -> None:
    """Send every log line to standard error.

    ``style`` is ``text`` or ``json``. ``statements`` adds each SQL statement, without its parameters.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": _WithRequestId}},
            "formatters": {
                "text": {"format": "%(asctime)s %(levelname)-7s [%(request_id)s] %(name)s: %(message)s"},
                "json": {
                    "()": "pythonjsonlogger.json.JsonFormatter",
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(request_id)s %(message)s",
                    "rename_fields": {
                        "asctime": "at",
                        "levelname": "level",
                        "name": "logger",
                    },
                    "datefmt": "%Y-%m-%dT%H:%M:%S%z",
                },
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": style,
                    "filters": ["request_id"],
                }
            },
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                # uvicorn hangs handlers of its own on these when it is started by hand. Its access log
                # would show whole addresses, secrets in them included; ours shows route templates.
                "uvicorn": {"handlers": [], "propagate": True},
                "uvicorn.error": {"handlers": [], "propagate": True},
                "uvicorn.access": {"handlers": [], "propagate": False},
                "sqlalchemy.engine": {"level": "INFO" if statements else "WARNING"},
                "alembic": {"level": "WARNING"},
            },
        }
    )
