"""Signing up and signing in."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from app.core.passwords import is_about
from app.core.security import Claims, RefreshToken, Tokens
from app.schemas.fields import (
    TOO_PERSONAL,
    Email,
    GivenPassword,
    GivenSecret,
    Input,
    Output,
    Password,
    ShortText,
)


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
    full_name: ShortText | None = None
    password: Password

    @field_validator("password")
    @classmethod
    def _not_about_its_owner(cls, password: str, earlier: ValidationInfo) -> str:
        if is_about(password, earlier.data.get("email"), earlier.data.get("full_name")):
            raise ValueError(TOO_PERSONAL)
        return password


class Credentials(Input):
    """What opens an account."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ana@example.com", "password": "correct horse battery"}]}
    )

    email: Email
    password: GivenPassword


class Refreshing(Input):
    """The refresh token of a session, to get new tokens for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "mer_…"}]})

    refresh_token: GivenSecret


class SigningOut(Input):
    """The refresh token of a session, to end it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "mer_…"}]})

    refresh_token: GivenSecret
    everywhere: bool = Field(default=False, description="End all sessions of the account, this one too.")


class Token(Output):
    """An access token, to be sent as `Authorization: Bearer <access_token>`, and how to get the next one."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds until the access token ends.")
    refresh_token: str = Field(description="Good once, for `POST /auth/refresh`; keep it to yourself.")
    refresh_expires_in: int = Field(description="Seconds until the refresh token ends, if it is not used.")

    @classmethod
    def issued(cls, tokens: Tokens, claims: Claims, refresh_token: RefreshToken) -> Self:
        """Issue an access token for the account and the sign-in that ``claims`` describes."""
        return cls(
            access_token=tokens.issue(claims),
            token_type="bearer",  # noqa: S106 - the scheme, no secret
            expires_in=int(tokens.lifetime.total_seconds()),
            refresh_token=str(refresh_token),
            refresh_expires_in=int(tokens.refresh_lifetime.total_seconds()),
        )
