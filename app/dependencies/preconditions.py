"""What has to be so for a write to go ahead."""

from typing import Annotated

from fastapi import Depends, Header

from app.core.conditional import Expected

GivenTag = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=4_096,
        description="The ETag that you read. The change is refused if somebody has edited this since.",
    ),
]


async def expected(if_match: GivenTag = None) -> Expected:
    """Read which version the request is meant for."""
    return Expected(if_match)


IfMatch = Annotated[Expected, Depends(expected)]
