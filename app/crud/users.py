"""Questions about accounts."""

from sqlalchemy import or_, select

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.core.security import Claims
from app.crud.records import Order, page, within_name
from app.models import User
from app.models.enums import Role


def get_by_email(db: Database, email: str) -> User | None:
    """Return the account of an address, which is compared in lower case."""
    return db.scalar(select(User).where(User.email == email.lower()))


def get_by_claims(db: Database, claims: Claims) -> User | None:
    """Return the active account that a token's id, address and version all still fit."""
    return db.scalar(
        select(User).where(
            User.id == claims.uid,
            User.email == claims.sub,
            User.token_version == claims.ver,
            User.is_active,
        )
    )


def lock(db: Database, user_id: int) -> User | None:
    """Return an account and keep others from changing it until the transaction ends."""
    # By a query: ``db.get`` would refuse one that changed since it was read, instead of reading it again.
    found = select(User).where(User.id == user_id)
    return db.scalar(found.with_for_update(key_share=True).execution_options(populate_existing=True))


def lock_active_admins(db: Database) -> list[int]:
    """Return the ids of the active administrators and keep them what they are until the end."""
    admins = select(User.id).where(User.role == Role.ADMIN, User.is_active).order_by(User.id)
    return list(db.scalars(admins.with_for_update()))


def page_all(db: Database, paging: Paging, *, search: str | None, role: Role | None) -> Slice[User]:
    """Return one page of the accounts, oldest first."""
    query = select(User)
    if search:
        query = query.where(or_(within_name(User.email, search), within_name(User.full_name, search)))
    if role:
        query = query.where(User.role == role)
    return page(db, query, paging, by=Order((User.id,)), filtered=bool(search or role))
