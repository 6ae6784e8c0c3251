"""What tests that go round the service share: raw SQL, and the constraint that refuses it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from app.models import Event, Room, Session, Speaker
from app.models.constraints import violated
from app.tests.factories import HOUR, Factory

Run = Callable[..., Any]
Refusal = Callable[..., str | None]

MOVE = "UPDATE sessions SET start_at = :start, end_at = :end WHERE id = :session"
DEFER = "SET CONSTRAINTS ALL DEFERRED"
JUDGE = "SET CONSTRAINTS ALL IMMEDIATE"  # what a commit does first


@pytest.fixture
def run(connection: Connection) -> Run:
    """Execute raw SQL."""
    return lambda sql, **values: connection.execute(text(sql), values)


@pytest.fixture
def refusal(connection: Connection) -> Refusal:
    """Execute raw SQL that has to be refused, and name the constraint that did it."""

    def execute(statements: tuple[str, ...], values: dict[str, Any]) -> None:
        with connection.begin_nested():
            for sql in statements:
                connection.execute(text(sql), values)

    def try_out(*statements: str, **values: Any) -> str | None:
        with pytest.raises(IntegrityError) as caught:
            execute(statements, values)
        return violated(caught.value)

    return try_out


@pytest.fixture
def event(make: Factory) -> Event:
    return make.event()


def times(event: Event, hour: float) -> dict[str, datetime]:
    return {"start_at": event.start_at + hour * HOUR, "end_at": event.start_at + (hour + 1) * HOUR}


def to(event: Event, hour: float) -> dict[str, datetime]:
    return {"start": event.start_at + hour * HOUR, "end": event.start_at + (hour + 1) * HOUR}


def plan(make: Factory, event: Event, hour: float, room: Room | None = None, *speakers: Speaker) -> Session:
    return make.session(event, room=room, speakers=speakers, **times(event, hour))
