"""Where one is signed in."""

from pydantic import Field

from app.schemas.fields import Output, Utc


class SignInRead(Output):
    """A session: one device on which one is signed in."""

    id: int
    user_agent: str | None = Field(description="What the device said it is.")
    created_at: Utc
    last_used_at: Utc = Field(description="When it last signed in or got new tokens.")
    expires_at: Utc = Field(description="When it ends if it is not used.")
    current: bool = Field(description="Whether it is the one that asks.")
