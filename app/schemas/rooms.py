"""Rooms."""

from typing import Annotated

from pydantic import MISSING, ConfigDict, Field

from app.schemas.fields import Capacity, Id, Input, Output, RoomName

Parallel = Annotated[bool, Field(description="Whether several sessions may be in the room at once.")]


class RoomCreate(Input):
    """A room of an event."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"event_id": 1, "name": "Sala Macondo", "capacity": 120}]}
    )

    event_id: Id
    name: RoomName
    capacity: Capacity | None = None
    allow_parallel: Parallel = False


class RoomUpdate(Input):
    """Changes to a room; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"capacity": 150}]})

    name: RoomName | MISSING = MISSING
    capacity: Capacity | MISSING | None = MISSING
    allow_parallel: Parallel | MISSING = MISSING


class RoomRead(Output):
    """A room."""

    id: int
    event_id: int
    name: str
    capacity: int | None
    allow_parallel: bool
