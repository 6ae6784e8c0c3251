"""The list of events, asked from the event loop and in a thread."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Store
from app.core.pagination import Slice
from app.core.security import Seals
from app.crud.listings import ORDERS
from app.dependencies.straight import written
from app.models.enums import EventStatus
from app.schemas.events import EventQuery, EventSummary
from app.schemas.pages import Page
from app.services.events import ask_public, list_public
from app.tests.conftest import SECRET
from app.tests.core.test_questions import lines_of, opened
from app.tests.factories import Factory, soon

pytestmark = pytest.mark.anyio

SEALS = Seals(SECRET, "cursors")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def fill(store: Store) -> None:
    with store.job() as db:
        make = Factory(db)
        make.event(name="Año 50% \"ñ\" \\ 'x' :name %(name)s", description="Líneas\ny más", venue=None)
        make.registered(make.event(name="Full", capacity_total=1, waitlist_enabled=True))
        make.event(name="Abierto", registration_opens_at=soon(1), registration_closes_at=soon(2))
        make.event(name="Bogotá", timezone="America/Bogota")
        make.event(status=EventStatus.DRAFT)


def body(found: Slice[Any]) -> bytes:
    return written(Page[EventSummary], found)


async def both_ways(store: Store, wanted: EventQuery) -> Sequence[Slice[Any]]:
    """Ask from the event loop, and the usual way."""
    question = ask_public(wanted)
    assert question is not None
    rows = await lines_of(store).ask(question)
    assert rows is not None
    return question.answer(rows), await store.look(lambda db: list_public(db, wanted))


@pytest.fixture(params=["UTC", "America/Lima"])
def live(live: Store, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Yield a database whose clock shows the time of some zone."""
    setting = f'ALTER DATABASE "{live.engine.url.database}"'
    with live.job() as db:
        db.execute(text(f"{setting} SET timezone = '{request.param}'"))
    live.engine.dispose()
    yield live
    with live.job() as db:
        db.execute(text(f"{setting} RESET timezone"))


@pytest.mark.parametrize("sort", [None, *ORDERS])
async def test_the_list_is_the_same_to_the_letter_whichever_way_it_is_asked(live: Store, sort: Any) -> None:
    fill(live)
    await opened(live)
    cursor, seen = None, []
    for page in (1, 2):
        wanted = EventQuery(sort=sort, size=2, cursor=cursor).located("/events", SEALS)
        assert wanted is not None
        by_loop, usual = await both_ways(live, wanted)
        assert body(by_loop) == body(usual)
        assert (by_loop.total, by_loop.page) == (4, page)
        seen += [row.name for row in by_loop.items]
        cursor = by_loop.next_cursor
    assert len(set(seen)) == 4
    assert cursor is None


async def test_an_empty_list_is_the_same_whichever_way_it_is_asked(live: Store) -> None:
    await opened(live)
    by_loop, usual = await both_ways(live, EventQuery())
    assert body(by_loop) == body(usual)
    assert (by_loop.items, by_loop.total) == ([], 0)


@pytest.mark.parametrize(
    "filters",
    [
        {"search": "a"},
        {"venue": "a"},
        {"has_places": False},
        {"organizer_id": 1},
        {"from": soon(1)},
        {"to": soon(1)},
    ],
    ids=str,
)
def test_what_leaves_some_out_is_no_question_for_the_event_loop(filters: dict[str, Any]) -> None:
    assert ask_public(EventQuery.model_validate(filters)) is None
