"""Attempts to open an account, which are counted by account and by address."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.core.rate_limits import Limiter, address_of


@dataclass(frozen=True, slots=True)
class SignInAttempts:
    """The attempts of whoever sends a request."""

    limiter: Limiter
    address: str

    async def begin(self, email: str) -> None:
        """Count one, before the password is looked at; too many are refused."""
        await self.limiter.begin_sign_in(email, self.address)

    async def end(self, email: str) -> None:
        """Note that the password was right."""
        await self.limiter.end_sign_in(email, self.address)


async def attempts(request: Request) -> SignInAttempts:
    """Count for the address of this request."""
    return SignInAttempts(request.app.state.limiter, address_of(request.scope))


Attempts = Annotated[SignInAttempts, Depends(attempts)]
