"""Where one is signed in; to clients, one's sessions."""

from app import crud
from app.core.database import Database
from app.core.exceptions import NotFound
from app.core.pagination import Paging, Slice
from app.crud.sign_ins import delete_expired as forget_expired
from app.models import User
from app.schemas.sign_ins import SignInRead

__all__ = ["end", "forget_expired", "list_own"]


def list_own(db: Database, actor: User, current_id: int, paging: Paging) -> Slice[SignInRead]:
    """Return one page of where one is signed in, the last used first, and say which of them asks."""
    found = crud.sign_ins.page_of_user(db, actor.id, paging)
    items = [
        SignInRead(
            id=sign_in.id,
            user_agent=sign_in.user_agent,
            created_at=sign_in.created_at,
            last_used_at=sign_in.last_used_at,
            expires_at=sign_in.expires_at,
            current=sign_in.id == current_id,
        )
        for sign_in in found.items
    ]
    return Slice(items, found.total, found.total_exact, found.page, found.size, found.next_cursor)


def end(db: Database, actor: User, sign_in_id: int) -> None:
    """End one of one's own sign-ins, with all of its tokens.

    Raises:
        NotFound: there is no such one, or it is somebody else's.

    """
    if not crud.sign_ins.end(db, actor.id, sign_in_id):
        raise NotFound("You have no such session. It may have ended already.")
