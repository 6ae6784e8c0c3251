"""Keys with which scripts call."""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.models.enums import Scope
from app.schemas.fields import Input, Moment, Output, Storable, Utc


class ApiKeyCreate(Input):
    """A new key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Door of the main hall", "scopes": ["check-in"]}]}
    )

    name: Annotated[Storable, Field(min_length=1, max_length=100, description="What it is for.")]
    scopes: set[Scope] = Field(
        min_length=1,
        description="`read` is for GET, `write` for all else, `check-in` for the routes of the door alone.",
    )
    expires_at: Moment | None = Field(None, description="When it ends; without it, when you end it.")


class ApiKeyRead(Output):
    """A key, without what opens."""

    id: int
    name: str
    prefix: str = Field(description="How the key begins.")
    scopes: list[Scope]
    created_at: Utc
    expires_at: Utc | None
    last_used_at: Utc | None = Field(description="To within a minute or so.")


class ApiKeyMade(ApiKeyRead):
    """A new key, to be sent as `Authorization: Bearer <key>`."""

    key: str = Field(description="Shown this once.")
