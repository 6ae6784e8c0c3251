"""Accounts as their owners and administrators see them."""

from pydantic import MISSING, ConfigDict, Field

from app.models.enums import Role
from app.schemas.auth import Token
from app.schemas.fields import (
    Email,
    GivenPassword,
    Input,
    Output,
    Password,
    Search,
    ShortText,
    Utc,
)
from app.schemas.pages import PageQuery


class UserRead(Output):
    """An account."""

    id: int
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    created_at: Utc


class OwnAccountRead(UserRead):
    """The account as its owner sees it after a change."""

    version: int = Field(exclude=True)
    token: Token | None = Field(
        description="A new token when the change ended the old ones, as a new email or password does."
    )


class OwnAccountUpdate(Input):
    """Changes to one's own account; a new email or password needs the current password."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"full_name": "Ana María Gómez"}]})

    full_name: ShortText | MISSING | None = MISSING
    email: Email | MISSING = MISSING
    password: Password | MISSING = MISSING
    current_password: GivenPassword | None = None


class UserUpdate(Input):
    """What an administrator may change of an account."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "ORGANIZER"}]})

    role: Role | MISSING = MISSING
    is_active: bool | MISSING = MISSING


class UserBrief(Output):
    """Who someone is, to those who run an event."""

    id: int
    email: str
    full_name: str | None


class UserQuery(PageQuery):
    """Which accounts a list keeps."""

    search: Search | None = Field(None, description="Part of the email or the name.")
    role: Role | None = None
