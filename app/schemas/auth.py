"""Signing up and signing in."""

from typing import Literal, Self

from pydantic import ConfigDict, Field

from app.core.security import Claims, Tokens
from app.schemas.fields import Email, GivenPassword, Input, Output, Password, ShortText


class AccountCreate(Input):
    """A new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "ana@example.com",
                    "password": "correct horse battery",
                    "full_name": "Ana Gómez",
                }
            ]
        }
    )

    email: Email
    password: Password
    full_name: ShortText | None = None


class Credentials(Input):
    """What opens an account."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ana@example.com", "password": "correct horse battery"}]}
    )

    email: Email
    password: GivenPassword


class Token(Output):
    """An access token, to be sent as `Authorization: Bearer <access_token>`."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds until the token ends.")

    @classmethod
    def issued(cls, tokens: Tokens, claims: Claims) -> Self:
        """Issue a token for the account that ``claims`` describes."""
        seconds = int(tokens.lifetime.total_seconds())
        return cls(access_token=tokens.issue(claims), token_type="bearer", expires_in=seconds)  # noqa: S106 - the scheme, no secret
