"""Keys with which scripts call in one's own name."""

from typing import Annotated

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import NotForKeys, NotFound, Unauthorized
from app.core.pagination import Slice
from app.core.problems import problems
from app.dependencies.auth import CurrentUser, InPerson
from app.dependencies.database import Db
from app.dependencies.pages import paged
from app.dependencies.paths import ApiKeyId
from app.models import ApiKey
from app.schemas.api_keys import ApiKeyCreate, ApiKeyMade, ApiKeyRead
from app.schemas.pages import Page, PageQuery

router = APIRouter(prefix="/users/me/api-keys", tags=["Accounts"], dependencies=[InPerson])


@router.post(
    "",
    summary="Make an API key",
    status_code=status.HTTP_201_CREATED,
    responses=problems(Unauthorized, NotForKeys),
)
def make_api_key(command: ApiKeyCreate, actor: CurrentUser, db: Db) -> ApiKeyMade:
    """Make a key for a script, which sends it as `Authorization: Bearer mek_…`. It is shown this once.

    It may do what my account may, within its scopes: `read` for GET, `write` for all else, `check-in` for the
    routes of the door alone. No key changes accounts, signs in, or makes keys.
    """
    return services.api_keys.make(db, actor, command)


@router.get(
    "",
    summary="My API keys",
    response_model=Page[ApiKeyRead],
    responses=problems(Unauthorized, NotForKeys),
)
def list_my_api_keys(
    wanted: Annotated[PageQuery, paged(PageQuery)], actor: CurrentUser, db: Db
) -> Slice[ApiKey]:
    """List my keys, the newest first, by how they begin."""
    return services.api_keys.list_own(db, actor, wanted.paging)


@router.delete(
    "/{key_id}",
    summary="End an API key",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, NotForKeys, NotFound),
)
def end_api_key(key_id: ApiKeyId, actor: CurrentUser, db: Db) -> None:
    """End one of my keys, at once."""
    services.api_keys.end(db, actor, key_id)
