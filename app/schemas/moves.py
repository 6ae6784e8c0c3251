"""Sessions moved together."""

from typing import Annotated, Literal

from pydantic import MISSING, ConfigDict, Field, field_validator

from app.schemas.fields import Id, Input, Moment, Output, RoomName
from app.schemas.sessions import SessionOutline, SessionRead, SessionTimes

MOST_MOVES = 1_000

Kind = Literal["agenda-conflict", "room-taken", "room-too-small", "session-outside-event", "speaker-busy"]


class SessionMove(Input):
    """Where and when a session is to be; what is left out stays."""

    session_id: Id
    start_at: Moment | MISSING = MISSING
    end_at: Moment | MISSING = Field(MISSING, description="Left out, the session is as long as it was.")
    room: RoomName | MISSING | None = Field(
        MISSING, description="A room's name; an unknown one makes the room, null leaves it."
    )


class SessionMoves(Input):
    """Sessions of one event that move together."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"event_id": 1, "moves": [{"session_id": 1, "start_at": "2031-03-01T11:00:00-05:00"}]}
            ]
        }
    )

    event_id: Id
    moves: Annotated[
        list[SessionMove],
        Field(min_length=1, max_length=MOST_MOVES, description="Up to 1,000, each session once."),
    ]

    @field_validator("moves")
    @classmethod
    def _each_session_once(cls, moves: list[SessionMove]) -> list[SessionMove]:
        if len({move.session_id for move in moves}) < len(moves):
            raise ValueError("a session is named twice; name each once")
        return moves


class PlanConflict(Output):
    """Sessions that cannot stand like that together."""

    kind: Kind = Field(description="The problem that it would be on its own.")
    sessions: list[SessionOutline] = Field(description="Those of the plan, as they are planned.")
    conflicts: list[SessionOutline | SessionTimes] = Field(
        description="Those in the way that stay; of one that you may not see, its times only."
    )
    people: int | None = Field(description="With `agenda-conflict`, whose agenda breaks: how many people.")


class SessionsMoved(Output):
    """What came of a plan."""

    sessions: list[SessionRead] = Field(
        description="Those of the plan, in time order; as they would be in a dry run."
    )
    conflicts: list[PlanConflict] = Field(description="What stands in the way; empty when all is well.")
