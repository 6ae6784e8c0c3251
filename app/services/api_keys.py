"""Keys with which scripts call in one's own name."""

from app import crud
from app.core.database import Database
from app.core.exceptions import InvalidRequest, NotFound, Unauthorized
from app.core.pagination import Paging, Slice
from app.core.security import ApiKeys, digest_of
from app.core.uses import Uses
from app.crud.api_keys import delete_expired as forget_expired
from app.models import ApiKey, User
from app.models.constraints import KEY_ENDS_BEFORE
from app.schemas.api_keys import ApiKeyCreate, ApiKeyMade, ApiKeyRead

__all__ = ["end", "forget_expired", "list_own", "make", "write_uses"]


def make(db: Database, actor: User, command: ApiKeyCreate) -> ApiKeyMade:
    """Make a key. Only a digest of it is stored, so this is the one time that it can be told.

    Raises:
        InvalidRequest: it would have ended already.
        Unauthorized: the account has been switched off meanwhile, which ended all of its keys.

    """
    owner = crud.users.lock(db, actor.id)
    if owner is None or not owner.is_active:
        raise Unauthorized
    key = ApiKeys.new(actor.id)
    row = ApiKey(
        user_id=actor.id,
        key_digest=digest_of(key),
        prefix=ApiKeys.shown(key),
        name=command.name,
        scopes=sorted(command.scopes),
        expires_at=command.expires_at,
    )
    if crud.try_save(db, row) == KEY_ENDS_BEFORE:
        raise InvalidRequest.at("expires_at", "this has passed; choose a time to come")
    return ApiKeyMade(**ApiKeyRead.model_validate(row).model_dump(), key=key)


def list_own(db: Database, actor: User, paging: Paging) -> Slice[ApiKey]:
    """Return one page of one's own keys, the newest first."""
    return crud.api_keys.page_of_user(db, actor.id, paging)


def end(db: Database, actor: User, key_id: int) -> None:
    """End one of one's own keys.

    Raises:
        NotFound: there is no such one, or it is somebody else's.

    """
    if not crud.api_keys.end(db, actor.id, key_id):
        raise NotFound("You have no such API key. It may have ended already.")


def write_uses(db: Database, uses: Uses) -> None:
    """Write down when keys were last used, as far as that was noted."""
    crud.api_keys.mark_used(db, uses.take())
