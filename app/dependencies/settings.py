"""What the application was set up with."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.settings import Settings


async def settings(request: Request) -> Settings:
    """Hand over the application's settings."""
    found: Settings = request.app.state.settings
    return found


AppSettings = Annotated[Settings, Depends(settings)]
