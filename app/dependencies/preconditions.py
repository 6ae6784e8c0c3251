"""What has to be so for a write to go ahead."""

from typing import Annotated

from fastapi import Depends, Header, Request

from app.core.conditional import LONGEST_TAGS, Expected

GivenTag = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=LONGEST_TAGS,
        description="The ETag that you read. The change is refused if somebody has edited this since.",
    ),
]


class ExpectedVersion:
    """Which version a request is meant for."""

    async def __call__(self, if_match: GivenTag = None) -> Expected:
        """Read it."""
        return Expected(if_match)

    def read_plain(self, request: Request, _: object) -> Expected | None:
        """Read it off a plain request."""
        if_match = request.headers.get("if-match")
        if if_match is not None and len(if_match) > LONGEST_TAGS:
            return None
        return Expected(if_match)


IfMatch = Annotated[Expected, Depends(ExpectedVersion())]
