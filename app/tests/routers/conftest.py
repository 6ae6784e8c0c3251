"""What the tests of several routes share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.models import Event, User
from app.tests.conftest import Caller
from app.tests.factories import HOUR

SignedIn = Callable[[User], Caller]


def refused(response: Any) -> tuple[int, str]:
    """Return the status and the slug of a problem, and see that it is a whole one."""
    document = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == response.status_code
    assert document["detail"].endswith(".")
    return response.status_code, document["type"].removeprefix("/problems/")


def ids(response: Any) -> list[int]:
    """Return the ids on a page or in an array, in their order."""
    document = response.json()
    return [item["id"] for item in (document if isinstance(document, list) else document["items"])]


def z(moment: datetime) -> str:
    """Write a moment as answers do."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def at(event: Event, hour: float, hours: float = 1) -> dict[str, Any]:
    """Name the times of a session that begins ``hour`` hours into its event."""
    start_at = event.start_at + hour * HOUR
    return {"start_at": start_at, "end_at": start_at + timedelta(hours=hours)}


def sent(times: dict[str, Any]) -> dict[str, str]:
    """Write times as a client sends them."""
    return {name: z(moment) for name, moment in times.items()}
