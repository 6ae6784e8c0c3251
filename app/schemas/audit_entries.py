"""The log of changes as those who may read it see it."""

from typing import Any

from pydantic import Field

from app.core.security import LONGEST_ID
from app.models.enums import AuditAction, AuditEntity
from app.schemas.fields import Moment, Output, Utc
from app.schemas.pages import PageQuery
from app.schemas.users import UserBrief


class AuditEntryRead(Output):
    """One change: who, what, when, from where, old and new."""

    id: int
    at: Utc
    actor: UserBrief | None = Field(
        description="Who made the change, as the account is called today; null if no request made the change."
    )
    action: AuditAction
    entity: AuditEntity
    entity_id: int = Field(
        description="Of a member of the team, the account; of a check-in, the registration."
    )
    before: dict[str, Any] | None = Field(
        description="What changed, as it was; all of what was deleted; null for what was created."
    )
    after: dict[str, Any] | None = Field(
        description="What changed, as it is since; all of what was created; null for what was deleted."
    )
    ip: str | None
    request_id: str | None = Field(description="The `X-Request-ID` of the request that made the change.")


class AuditQuery(PageQuery):
    """Which changes a list keeps."""

    entity: AuditEntity | None = None
    entity_id: int | None = Field(None, ge=1, le=LONGEST_ID, description="As `entity_id` of an entry.")
    action: AuditAction | None = None
    actor_id: int | None = Field(None, ge=1, le=LONGEST_ID, description="The account that made the change.")
    since: Moment | None = Field(
        None, alias="from", description="Keep what was changed at that time or later."
    )
    until: Moment | None = Field(None, alias="to", description="Keep what was changed before that time.")


class WholeAuditQuery(AuditQuery):
    """Which of all changes a list keeps."""

    event_id: int | None = Field(
        None, ge=1, le=LONGEST_ID, description="Keep the changes to this event and to what belongs to it."
    )
