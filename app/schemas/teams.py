"""The people who run an event."""

from typing import Literal

from pydantic import ConfigDict

from app.models.enums import TeamRole
from app.schemas.fields import Email, Input, Output, Utc


class TeamMemberCreate(Input):
    """Someone with an account, to help run the event."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "luis@example.com", "role": "STAFF"}]}
    )

    email: Email
    role: Literal[TeamRole.MANAGER, TeamRole.STAFF]


class TeamMemberRead(Output):
    """One of those who run an event."""

    user_id: int
    email: str
    full_name: str | None
    role: TeamRole
    added_at: Utc
