"""Whether the process is about to leave."""

from typing import Annotated

from fastapi import Depends, Request


async def stopping(request: Request) -> bool:
    """Tell whether the process was asked to stop."""
    return bool(request.app.state.draining.begun)


IsStopping = Annotated[bool, Depends(stopping)]
