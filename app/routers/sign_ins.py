"""Where one is signed in; to clients, one's sessions."""

from typing import Annotated

from fastapi import APIRouter, status

from app import services
from app.core.exceptions import NotForKeys, NotFound, Unauthorized
from app.core.pagination import Slice
from app.core.problems import problems
from app.dependencies.auth import CurrentUser, InPerson, PersonalClaims
from app.dependencies.database import Db
from app.dependencies.pages import paged
from app.dependencies.paths import SignInId
from app.schemas.pages import Page, PageQuery
from app.schemas.sign_ins import SignInRead

router = APIRouter(prefix="/users/me/sessions", tags=["Accounts"], dependencies=[InPerson])


@router.get(
    "",
    summary="Where I am signed in",
    response_model=Page[SignInRead],
    responses=problems(Unauthorized, NotForKeys),
)
def list_my_sign_ins(
    wanted: Annotated[PageQuery, paged(PageQuery)], claims: PersonalClaims, actor: CurrentUser, db: Db
) -> Slice[SignInRead]:
    """List the devices on which I am signed in, the last used first."""
    return services.sign_ins.list_own(db, actor, claims.sid, wanted.paging)


@router.delete(
    "/{session_id}",
    summary="Sign a device out",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(Unauthorized, NotForKeys, NotFound),
)
def end_sign_in(session_id: SignInId, actor: CurrentUser, db: Db) -> None:
    """End one of my sessions, with all of its tokens, at once."""
    services.sign_ins.end(db, actor, session_id)
