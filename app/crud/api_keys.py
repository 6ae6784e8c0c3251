"""Questions about the keys that scripts use."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, or_, select

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud.records import Order, page
from app.models import ApiKey

IS_GOOD = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())


def page_of_user(db: Database, user_id: int, paging: Paging) -> Slice[ApiKey]:
    """Return one page of somebody's keys that have not expired, the newest first."""
    mine = select(ApiKey).where(ApiKey.user_id == user_id, IS_GOOD)
    return page(db, mine, paging, by=Order((ApiKey.id,), descending=True), filtered=False)


def end(db: Database, user_id: int, key_id: int) -> bool:
    """End one of somebody's keys, and tell whether there was such a one."""
    one = delete(ApiKey).where(ApiKey.user_id == user_id, ApiKey.id == key_id)
    return db.scalar(one.returning(ApiKey.id)) is not None


def end_all(db: Database, user_id: int) -> None:
    """End all of somebody's keys."""
    db.execute(delete(ApiKey).where(ApiKey.user_id == user_id))


def mark_used(db: Database, latest: Mapping[bytes, datetime]) -> None:
    """Write when keys were last used, by their digests."""
    # A key that another worker is at was used there at the same time.
    used = select(ApiKey).where(ApiKey.key_digest.in_(latest)).with_for_update(skip_locked=True)
    for key in db.scalars(used):
        key.last_used_at = max(key.last_used_at or key.created_at, latest[key.key_digest])
    db.flush()


def delete_expired(db: Database, limit: int) -> None:
    """Forget up to ``limit`` keys that have expired."""
    expired = (
        select(ApiKey.id)
        .where(ApiKey.expires_at <= func.now())
        .order_by(ApiKey.id)
        .limit(limit)
        # Every worker does this chore; none waits for another's.
        .with_for_update(skip_locked=True)
    )
    db.execute(delete(ApiKey).where(ApiKey.id.in_(expired)))
