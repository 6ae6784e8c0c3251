"""Questions about where people are signed in."""

from datetime import timedelta

from sqlalchemy import Select, and_, delete, func, select

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.core.security import Device, RefreshToken
from app.crud.records import Order, page, save
from app.models import SignIn, User

GOES_ON = and_(SignIn.token_version == User.token_version, SignIn.expires_at > func.now())
"""What is so of a sign-in that has not ended, beside its account."""


def add(db: Database, user: User, device: Device, token: RefreshToken) -> SignIn:
    """Sign somebody in on a device, with the first refresh token of a family.

    If the account's tokens have been ended since ``user`` was read, this sign-in is over before it begins.
    """
    sign_in = SignIn(
        user_id=user.id,
        token_version=user.token_version,
        family_digest=token.family_digest,
        token_digest=token.digest,
        user_agent=device.user_agent,
        expires_at=func.now() + device.tokens.refresh_lifetime,
    )
    return save(db, sign_in)


def get_of_family(db: Database, token: RefreshToken) -> SignIn | None:
    """Return the sign-in of a token's family, whether or not the token is its last."""
    return db.scalar(_of_family(token))


def lock_of_family(db: Database, token: RefreshToken) -> tuple[SignIn, User] | None:
    """Return the same with its account, and hold it.

    Whoever shows a token of the family meanwhile waits, and then sees what became of it.
    """
    found = db.execute(_of_family(token).add_columns(User).with_for_update(of=SignIn)).one_or_none()
    return None if found is None else (found[0], found[1])


def _of_family(token: RefreshToken) -> Select[SignIn]:
    query = select(SignIn).join(User, User.id == SignIn.user_id)
    return query.where(SignIn.family_digest == token.family_digest, GOES_ON, User.is_active)


def put_next(db: Database, sign_in: SignIn, token: RefreshToken, lifetime: timedelta) -> None:
    """Let another token be the last of its family."""
    expires_at = func.now() + lifetime
    save(db, sign_in, {"token_digest": token.digest, "last_used_at": func.now(), "expires_at": expires_at})


def page_of_user(db: Database, user_id: int, paging: Paging) -> Slice[SignIn]:
    """Return one page of where somebody is signed in, the last used first."""
    mine = select(SignIn).join(User, User.id == SignIn.user_id).where(User.id == user_id, GOES_ON)
    last_used_first = Order((SignIn.last_used_at, SignIn.id), descending=True)
    return page(db, mine, paging, by=last_used_first, filtered=False)


def end(db: Database, user_id: int, sign_in_id: int) -> bool:
    """End one of somebody's sign-ins, and tell whether there was such a one."""
    one = delete(SignIn).where(SignIn.user_id == user_id, SignIn.id == sign_in_id)
    return db.scalar(one.returning(SignIn.id)) is not None


def end_all(db: Database, user_id: int) -> None:
    """End all of somebody's sign-ins."""
    db.execute(delete(SignIn).where(SignIn.user_id == user_id))


def delete_expired(db: Database, limit: int) -> None:
    """Forget up to ``limit`` sign-ins that have expired."""
    expired = (
        select(SignIn.id)
        .where(SignIn.expires_at <= func.now())
        .order_by(SignIn.id)
        .limit(limit)
        # Every worker does this chore; none waits for another's.
        .with_for_update(skip_locked=True)
    )
    db.execute(delete(SignIn).where(SignIn.id.in_(expired)))
