"""Questions about accounts."""

from sqlalchemy import or_, select, update

from app.core.database import Database
from app.core.pagination import Paging, Slice
from app.crud import sign_ins
from app.crud.records import Order, page, within_name
from app.models import User
from app.models.enums import Role


def get_by_email(db: Database, email: str) -> User | None:
    """Return the account of an address, which is compared in lower case."""
    return db.scalar(select(User).where(User.email == email.lower()))


def lock(db: Database, user_id: int) -> User | None:
    """Return an account and keep others from changing it until the transaction ends."""
    # By a query: ``db.get`` would refuse one that changed since it was read, instead of reading it again.
    found = select(User).where(User.id == user_id)
    return db.scalar(found.with_for_update(key_share=True).execution_options(populate_existing=True))


def end_tokens(db: Database, user: User) -> None:
    """Make every access and refresh token of an account worthless, and end its sign-ins."""
    user.token_version += 1
    sign_ins.end_all(db, user.id)


def renew_hash(db: Database, user: User, new_hash: str) -> None:
    """Keep another hash of the same password, unless the password has changed meanwhile."""
    same = update(User).where(User.id == user.id, User.password_hash == user.password_hash)
    db.execute(same.values(password_hash=new_hash), execution_options={"synchronize_session": False})


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
