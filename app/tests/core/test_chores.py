"""Work that comes round beside the requests."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from app import crud
from app.core.chores import every
from app.core.database import Store
from app.models import IdempotencyKey
from app.tests.factories import Factory


def test_a_chore_comes_round_until_the_service_stops(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []
    third = asyncio.Event()

    async def chore() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise RuntimeError("the first time it fails")
        if len(rounds) == 3:
            third.set()

    async def serve() -> int:
        async with every(0.001, chore):
            await third.wait()
        stopped_at = len(rounds)
        await asyncio.sleep(0.02)
        return stopped_at

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(serve()) == len(rounds)
    assert [record.message for record in caplog.records] == ["a chore failed; it comes round again in 0 s"]


def test_answers_are_forgotten_a_day_after_they_were_given(live: Store) -> None:
    now = datetime.now(UTC)
    with live.job() as db:
        user = Factory(db).user()
        for key, hours in (("fresh", 23), ("expired", 25), ("long expired", 100)):
            row = {"user_id": user.id, "method": "POST", "path": "/events", "key": key, "status": 201}
            given_at = now - timedelta(hours=hours)
            db.add(IdempotencyKey(**row, body=b"{}", body_digest=b"0" * 32, created_at=given_at))
    asyncio.run(live.chore(partial(crud.idempotency.delete_expired, limit=10)))
    with live.job() as db:
        slots = [(user.id, "POST", "/events", key) for key in ("fresh", "expired", "long expired")]
        assert list(crud.idempotency.map_answers(db, slots)) == [slots[0]]
        assert [db.get(IdempotencyKey, slot) is not None for slot in slots] == [True, False, False]
