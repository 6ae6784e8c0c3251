"""What a client has already of a document that it asks for."""

from typing import Annotated

from fastapi import Header

KnownTags = Annotated[
    str | None,
    Header(alias="If-None-Match", description="The `ETag` of what you have: 304 if nothing has changed."),
]
