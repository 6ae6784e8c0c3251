"""What the figures were measured on: they mean nothing without it."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from app.core.settings import PROJECT

PACKAGES = ("fastapi", "starlette", "uvicorn", "sqlalchemy", "psycopg2-binary", "pydantic")


def facts() -> dict[str, str]:
    """Tell the date, the machine and the versions."""
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Revision": _said("git", "describe", "--always", "--dirty"),
        "Machine": f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.release()}",
        "Busy before": ", ".join(f"{load:.1f}" for load in os.getloadavg()) + " (load averages)",
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "wrk": _said("wrk", "-v").removeprefix("wrk ").partition(" ")[0],
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _said(*words: str) -> str:
    try:
        run = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "unknown"
    return (run.stdout or run.stderr).partition("\n")[0] or "unknown"
