"""The state of the service."""

from typing import Literal

from app.schemas.fields import Output


class Health(Output):
    """It is well."""

    status: Literal["ok"]
