"""Accounts: one's own, and all of them for administrators."""

from typing import Annotated

from fastapi import APIRouter, Response

from app import services
from app.core.exceptions import (
    EmailTaken,
    Forbidden,
    LastAdmin,
    NotForKeys,
    NotFound,
    PreconditionFailed,
    Unauthorized,
    WrongPassword,
)
from app.core.pagination import Slice
from app.core.problems import problems
from app.dependencies.auth import CurrentUser, InPerson, ThisDevice
from app.dependencies.database import Db
from app.dependencies.pages import paged
from app.dependencies.passwords import PasswordProof
from app.dependencies.paths import UserId
from app.dependencies.preconditions import IfMatch
from app.dependencies.straight import StraightRoute
from app.dependencies.views import AnyReader, changed
from app.models import Event, Speaker, User
from app.schemas.events import EventSummary, OwnEventQuery
from app.schemas.pages import Page
from app.schemas.speakers import SpeakerQuery, SpeakerRead
from app.schemas.users import (
    OwnAccountRead,
    OwnAccountUpdate,
    UserQuery,
    UserRead,
    UserUpdate,
)

router = APIRouter(prefix="/users", tags=["Accounts"], route_class=StraightRoute)


@router.get(
    "/me",
    summary="My account",
    response_model=UserRead,
    responses=problems(Unauthorized),
)
async def read_me(reader: AnyReader) -> Response:
    """Show the account that the token belongs to."""
    return await reader.own(UserRead, services.users.read_own)


@router.patch(
    "/me",
    summary="Change my account",
    response_model=OwnAccountRead,
    dependencies=[InPerson],
    responses=problems(Unauthorized, PreconditionFailed, WrongPassword, NotForKeys, EmailTaken),
)
def update_me(  # noqa: PLR0913, PLR0917 - each is a part of the request
    command: OwnAccountUpdate,
    proof: PasswordProof,
    device: ThisDevice,
    actor: CurrentUser,
    db: Db,
    expected: IfMatch,
) -> Response:
    """Change one's name, email or password.

    A new email or password needs `current_password`. It ends every session of the account, and the answer
    carries the tokens of a new one in `token`. API keys go on: see `GET /users/me/api-keys`.
    """
    me = services.users.update_own(db, actor, command, proof, device, expected)
    return changed(UserRead, me, told=OwnAccountRead)


@router.get(
    "/me/events",
    summary="Events I run",
    response_model=Page[EventSummary],
    responses=problems(Unauthorized),
    tags=["Events"],
)
def list_my_events(
    wanted: Annotated[OwnEventQuery, paged(OwnEventQuery)], actor: CurrentUser, db: Db
) -> Slice[Event]:
    """List the events that I own or help to run, drafts and cancelled ones too, newest first."""
    return services.events.list_run_by(db, actor, wanted)


@router.get(
    "/me/speakers",
    summary="Speakers I keep",
    response_model=Page[SpeakerRead],
    responses=problems(Unauthorized),
    tags=["Speakers"],
)
def list_my_speakers(
    wanted: Annotated[SpeakerQuery, paged(SpeakerQuery)], actor: CurrentUser, db: Db
) -> Slice[Speaker]:
    """List the speakers that I made, by name, to use them again in another event."""
    return services.speakers.list_made_by(db, actor, wanted)


@router.get(
    "",
    summary="All accounts",
    response_model=Page[UserRead],
    responses=problems(Unauthorized, Forbidden),
)
def list_accounts(wanted: Annotated[UserQuery, paged(UserQuery)], actor: CurrentUser, db: Db) -> Slice[User]:
    """List all accounts, oldest first. For administrators."""
    return services.users.list_accounts(db, actor, wanted)


@router.patch(
    "/{user_id}",
    summary="Change an account",
    response_model=UserRead,
    dependencies=[InPerson],
    responses=problems(Unauthorized, Forbidden, NotForKeys, NotFound, PreconditionFailed, LastAdmin),
)
def update_account(
    user_id: UserId, command: UserUpdate, actor: CurrentUser, db: Db, expected: IfMatch
) -> Response:
    """Give an account another role, or switch it off or on. For administrators.

    A change ends every session of the account. Switching it off ends its API keys, too. The last active
    administrator stays one.
    """
    return changed(UserRead, services.users.update_account(db, actor, user_id, command, expected))
