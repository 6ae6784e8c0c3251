"""What the application was set up with."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.settings import Settings


class SettingsOfApp:
    """The application's settings."""

    async def __call__(self, request: Request) -> Settings:
        """Hand them over."""
        return self.read_plain(request)

    def read_plain(self, request: Request, *_: object) -> Settings:
        """Hand them over to a plain request as well."""
        found: Settings = request.app.state.settings
        return found


AppSettings = Annotated[Settings, Depends(SettingsOfApp())]
