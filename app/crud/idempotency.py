"""Keys under which a request was served. An expired one is not there."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Database
from app.models import IdempotencyKey
from app.schemas.idempotency import Answer, Slot

LIFETIME = timedelta(hours=24)

_SLOT = (IdempotencyKey.user_id, IdempotencyKey.method, IdempotencyKey.path, IdempotencyKey.key)
_SLOT_NAMES = [column.key for column in _SLOT]


def claim(db: Database, slot: Slot) -> bool:
    """Take a slot for this transaction, or tell that another request is at work under it."""
    name = func.hashtextextended(" ".join(map(str, slot)), 0)
    return bool(db.scalar(select(func.pg_try_advisory_xact_lock(name))))


def map_answers(db: Database, slots: Collection[Slot]) -> dict[Slot, tuple[bytes, Answer]]:
    """Return, for the slots that are used, the digest of the body and the answer."""
    if not slots:
        return {}
    query = select(IdempotencyKey).where(
        tuple_(*_SLOT).in_(slots), IdempotencyKey.created_at > func.now() - LIFETIME
    )
    return {
        (row.user_id, row.method, row.path, row.key): (
            row.body_digest,
            Answer(status=row.status, body=row.body, location=row.location),
        )
        for row in db.scalars(query)
    }


def remember(db: Database, answers: Mapping[Slot, tuple[bytes, Answer]]) -> None:
    """Keep the digest and the answer for each slot, in the place of what has expired there."""
    if not answers:
        return
    rows = [
        {
            **dict(zip(_SLOT_NAMES, slot, strict=True)),
            "body_digest": digest,
            "status": answer.status,
            "body": answer.body,
            "location": answer.location,
        }
        for slot, (digest, answer) in answers.items()
    ]
    written = insert(IdempotencyKey).values(rows)
    changed = {name: written.excluded[name] for name in ("body_digest", "status", "body", "location")}
    db.execute(
        written.on_conflict_do_update(index_elements=_SLOT_NAMES, set_={**changed, "created_at": func.now()})
    )


def delete_expired(db: Database, limit: int) -> None:
    """Forget up to ``limit`` answers that have expired."""
    expired = (
        select(*_SLOT)
        .where(IdempotencyKey.created_at <= func.now() - LIFETIME)
        .order_by(*_SLOT)
        .limit(limit)
        # Every worker does this chore; none waits for another's.
        .with_for_update(skip_locked=True)
    )
    db.execute(delete(IdempotencyKey).where(tuple_(*_SLOT).in_(expired)))
