"""The requests, case by case. Request ``i`` of a case that writes is one that nobody has sent before it."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from bench.data import SESSIONS_EACH, World
from bench.load import Line

PREFIX = "/api/v1"
SLOT = timedelta(minutes=5)
MANY_EVENTS = 1_000
SCANS_EACH = 4
TALKS_EACH = 4


class Request(NamedTuple):
    """One request: its path, who sends it (0 for nobody), and its body."""

    path: str
    person: int = 0
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Requests to one route; ``operation`` is its id in the contract."""

    operation: str
    method: str
    expected: int
    request: Callable[[World, int], Request]
    more: str = ""
    """Rows that its requests need, for ``:count`` of them."""
    note: str = ""
    turned_away: int = 0
    """Another status that is no failure, and is not counted as served."""

    @property
    def label(self) -> str:
        """Name the case in a table."""
        return f"{self.operation}, {self.note}" if self.note else self.operation

    @property
    def cycles(self) -> bool:
        """Tell whether its requests may be sent again."""
        return self.method == "GET"

    def lines(self, world: World, tokens: Sequence[str], count: int) -> Iterator[Line]:
        """Yield the first ``count`` requests."""
        for i in range(count):
            path, person, body = self.request(world, i)
            token = tokens[person - 1] if person else ""
            yield Line(self.method, PREFIX + path, token, body="" if body is None else json.dumps(body))


def _event(world: World, i: int) -> int:
    return i % world.events + 1


def _session_plan(world: World, i: int) -> dict[str, Any]:
    """Plan a session of event after event, each in a slot of its own from the second day on."""
    event = _event(world, i)
    start_at = world.start_of(event) + timedelta(days=1) + i // world.events * SLOT
    times = {"start_at": start_at.isoformat(), "end_at": (start_at + SLOT).isoformat()}
    return {"title": f"Talk {i}", **times, "room": "Room 1", "speaker_ids": [event]}


def _plan(world: World, i: int) -> dict[str, Any]:
    """Move the first session of event after event to a slot of its own from the second day on."""
    event = _event(world, i)
    start_at = world.start_of(event) + timedelta(days=1) + i // world.events * SLOT
    times = {"start_at": start_at.isoformat(), "end_at": (start_at + SLOT).isoformat()}
    session = (event - 1) * SESSIONS_EACH + 1
    return {"event_id": event, "moves": [{"session_id": session, **times}]}


def _new_event(world: World, i: int) -> dict[str, Any]:
    start_at = world.start_of(i)
    times = {"start_at": start_at.isoformat(), "end_at": (start_at + timedelta(days=3)).isoformat()}
    return {"name": f"New {i}", "description": "Words about the event.", **times, "capacity_total": 300}


def _scans(world: World, i: int) -> dict[str, Any]:
    """Collect the scans of a device, each of a ticket of its own."""
    at = world.start_of(_event(world, i)).isoformat()
    scans = [
        {"ticket_code": f"ticket-{i}-{n}", "scanned_at": at, "client_id": f"scan-{i}-{n}"}
        for n in range(SCANS_EACH)
    ]
    return {"scans": scans}


def _schedule(world: World, i: int) -> dict[str, Any]:
    """Plan sessions of event after event, one after the other from the second day on."""
    event = _event(world, i)
    first = world.start_of(event) + timedelta(days=1) + i // world.events * TALKS_EACH * SLOT
    talks = [
        {
            "guid": str(UUID(int=i * TALKS_EACH + n)),
            "title": f"Talk {i}.{n}",
            "date": (first + n * SLOT).isoformat(),
            "duration": "00:05",
            "persons": [{"public_name": f"Speaker {event}"}],
        }
        for n in range(TALKS_EACH)
    ]
    return {"schedule": {"conference": {"days": [{"rooms": {"Room 1": talks}}]}}}


LIST = Case("list_events", "GET", 200, lambda _, __: Request("/events"))
DETAIL = Case("read_event", "GET", 200, lambda world, i: Request(f"/events/{_event(world, i)}"))
ME = Case("read_me", "GET", 200, lambda _, i: Request("/users/me", i + 1))

REGISTER = Case(
    "register",
    "POST",
    201,
    lambda world, i: Request(f"/registrations/events/{_event(world, i)}", i + 1),
    note="spread",
)
REGISTER_HOT = Case(
    "register", "POST", 201, lambda _, i: Request("/registrations/events/1", i + 1), note="one event"
)
REGISTER_MANY = Case(
    "register",
    "POST",
    201,
    lambda world, i: Request(f"/registrations/events/{i % min(world.events, MANY_EVENTS) + 1}", i + 1),
    note=f"{MANY_EVENTS:,} events",
)
# The last two people have both places, and are not among those who ask.
REGISTER_FULL = Case(
    "register",
    "POST",
    409,
    lambda _, i: Request("/registrations/events/1", i + 1),
    more="""
    UPDATE events SET capacity_total = 2 WHERE id = 1;
    INSERT INTO registrations (event_id, user_id, status, ticket_code)
    SELECT 1, :people - n, 'CONFIRMED', 'ticket-' || n FROM generate_series(0, 1) AS n
    """,
    note="a full event",
)
SIGN_UP = Case(
    "sign_up",
    "POST",
    201,
    lambda _, i: Request("/auth/register", 0, {"email": f"new{i}@example.com", "password": "a long one"}),
    note="bound by hashing",
)

STAYING = """
INSERT INTO sign_ins (id, user_id, token_version, family_digest, token_digest, expires_at)
SELECT :people + i + 1, i + 1, 1, sha256(lpad(i::text, 43, 'n')::bytea),
    sha256(('mer_' || lpad(i::text, 43, 'n') || lpad(i::text, 43, 's'))::bytea), now() + interval '1 day'
FROM generate_series(0, :count - 1) AS i
"""


def _refresh_token(i: int) -> dict[str, str]:
    """Return the refresh token of a sign-in made above."""
    return {"refresh_token": f"mer_{i:n>43}{i:s>43}"}


GUESTS = """
INSERT INTO registrations (event_id, user_id, status, ticket_code)
SELECT i % :events + 1, i + 1, 'CONFIRMED', 'ticket-' || i FROM generate_series(0, :count - 1) AS i
"""

SEATED = f"""
{GUESTS};
INSERT INTO seats (session_id, event_id, user_id, during)
SELECT sessions.id, event_id, i + 1, during
FROM generate_series(0, :count - 1) AS i
JOIN sessions ON sessions.id = i % :events * :sessions_each + 1
"""


def _seat(world: World, i: int) -> Request:
    """Name the first session of an event for one of its guests."""
    return Request(f"/registrations/sessions/{(_event(world, i) - 1) * SESSIONS_EACH + 1}", i + 1)


WRITES = (
    REGISTER,
    REGISTER_HOT,
    Case(
        "cancel_registration",
        "DELETE",
        204,
        lambda world, i: Request(f"/registrations/events/{_event(world, i)}", i + 1),
        more=GUESTS,
    ),
    Case("take_seat", "POST", 201, _seat, more=GUESTS),
    Case("give_seat_up", "DELETE", 204, _seat, more=SEATED),
    Case(
        "check_in",
        "POST",
        201,
        lambda world, i: Request(
            f"/events/{_event(world, i)}/check-ins", _event(world, i), {"ticket_code": f"ticket-{i}"}
        ),
        more=GUESTS,
    ),
    Case(
        "check_in_all",
        "POST",
        200,
        lambda world, i: Request(
            f"/events/{_event(world, i)}/check-ins/batch", _event(world, i), _scans(world, i)
        ),
        more=f"""
        INSERT INTO registrations (event_id, user_id, status, ticket_code)
        SELECT i % :events + 1, i / :events * {SCANS_EACH} + n + 1, 'CONFIRMED', 'ticket-' || i || '-' || n
        FROM generate_series(0, :count - 1) AS i, generate_series(0, {SCANS_EACH - 1}) AS n
        """,
        note=f"{SCANS_EACH} scans each",
    ),
    Case("create_event", "POST", 201, lambda world, i: Request("/events", i + 1, _new_event(world, i))),
    Case(
        "edit_event",
        "PATCH",
        200,
        lambda world, i: Request(f"/events/{_event(world, i)}", _event(world, i), {"name": f"Edited {i}"}),
    ),
    Case(
        "delete_event",
        "DELETE",
        204,
        lambda world, i: Request(f"/events/{world.events + i + 1}", i + 1),
        more="""
        INSERT INTO events (id, name, start_at, end_at, capacity_total, created_by)
        SELECT :events + i + 1, 'To delete', :first_day, :first_day + interval '1 day', 10, i + 1
        FROM generate_series(0, :count - 1) AS i
        """,
    ),
    # Person i + 1 joins the event after the one that they may own.
    Case(
        "add_to_team",
        "POST",
        201,
        lambda world, i: Request(
            f"/events/{_event(world, i + 1)}/team",
            _event(world, i + 1),
            {"email": f"person{i + 1}@example.com", "role": "STAFF"},
        ),
    ),
    Case(
        "remove_from_team",
        "DELETE",
        204,
        lambda world, i: Request(f"/events/{_event(world, i + 1)}/team/{i + 1}", _event(world, i + 1)),
        more="""
        INSERT INTO team_members (event_id, user_id, role)
        SELECT (i + 1) % :events + 1, i + 1, 'STAFF' FROM generate_series(0, :count - 1) AS i
        """,
    ),
    Case(
        "schedule_session",
        "POST",
        201,
        lambda world, i: Request(
            "/sessions", _event(world, i), {"event_id": _event(world, i), **_session_plan(world, i)}
        ),
    ),
    Case(
        "schedule_session_by_path",
        "POST",
        201,
        lambda world, i: Request(
            f"/sessions/events/{_event(world, i)}", _event(world, i), _session_plan(world, i)
        ),
    ),
    Case(
        "reschedule_session",
        "PATCH",
        200,
        lambda world, i: Request(
            f"/sessions/{(_event(world, i) - 1) * SESSIONS_EACH + 1}",
            _event(world, i),
            _session_plan(world, i),
        ),
    ),
    Case(
        "move_sessions",
        "POST",
        200,
        lambda world, i: Request("/sessions/moves", _event(world, i), _plan(world, i)),
    ),
    Case(
        "cancel_session",
        "DELETE",
        204,
        lambda world, i: Request(f"/sessions/{world.events * SESSIONS_EACH + i + 1}", _event(world, i)),
        more="""
        INSERT INTO sessions
            (id, title, event_id, event_is_live, event_start_at, event_end_at, start_at, end_at)
        SELECT :events * :sessions_each + i + 1, 'To delete', events.id, is_live, start_at, end_at,
            start_at, end_at
        FROM generate_series(0, :count - 1) AS i JOIN events ON events.id = i % :events + 1
        """,
    ),
    Case(
        "create_speaker",
        "POST",
        201,
        lambda world, i: Request(
            "/speakers", _event(world, i), {"full_name": f"Speaker {i}", "event_id": _event(world, i)}
        ),
    ),
    Case(
        "edit_speaker",
        "PATCH",
        200,
        lambda world, i: Request(
            f"/speakers/{_event(world, i)}", _event(world, i), {"headline": f"Headline {i}"}
        ),
    ),
    Case(
        "delete_speaker",
        "DELETE",
        204,
        lambda world, i: Request(f"/speakers/{world.events + i + 1}", i + 1),
        more="""
        INSERT INTO speakers (id, full_name, created_by)
        SELECT :events + i + 1, 'To delete', i + 1 FROM generate_series(0, :count - 1) AS i
        """,
    ),
    Case(
        "create_room",
        "POST",
        201,
        lambda world, i: Request(
            "/rooms", _event(world, i), {"event_id": _event(world, i), "name": f"New room {i}"}
        ),
    ),
    Case(
        "edit_room",
        "PATCH",
        200,
        lambda world, i: Request(f"/rooms/{_event(world, i)}", _event(world, i), {"capacity": 100 + i}),
    ),
    Case(
        "delete_room",
        "DELETE",
        204,
        lambda world, i: Request(f"/rooms/{world.events + i + 1}", _event(world, i)),
        more="""
        INSERT INTO rooms (id, event_id, name)
        SELECT :events + i + 1, i % :events + 1, 'To delete ' || i FROM generate_series(0, :count - 1) AS i
        """,
    ),
    Case(
        "take_schedule_in",
        "POST",
        200,
        lambda world, i: Request(
            f"/events/{_event(world, i)}/schedule", _event(world, i), _schedule(world, i)
        ),
        note=f"{TALKS_EACH} sessions each",
    ),
    Case("open_calendar", "POST", 201, lambda _, i: Request("/users/me/calendar", i + 1)),
    Case("update_me", "PATCH", 200, lambda _, i: Request("/users/me", i + 1, {"full_name": f"Renamed {i}"})),
    # The administrator is person 1.
    Case("update_account", "PATCH", 200, lambda _, i: Request(f"/users/{i + 2}", 1, {"role": "ORGANIZER"})),
    SIGN_UP,
    Case("refresh", "POST", 200, lambda _, i: Request("/auth/refresh", 0, _refresh_token(i)), more=STAYING),
    Case("sign_out", "POST", 204, lambda _, i: Request("/auth/logout", 0, _refresh_token(i)), more=STAYING),
    Case(
        "end_sign_in",
        "DELETE",
        204,
        lambda world, i: Request(f"/users/me/sessions/{world.people + i + 1}", i + 1),
        more=STAYING,
    ),
    Case(
        "make_api_key",
        "POST",
        201,
        lambda _, i: Request("/users/me/api-keys", i + 1, {"name": f"Key {i}", "scopes": ["read"]}),
    ),
    Case(
        "end_api_key",
        "DELETE",
        204,
        lambda _, i: Request(f"/users/me/api-keys/{i + 1}", i + 1),
        more="""
        INSERT INTO api_keys (id, user_id, key_digest, prefix, name, scopes)
        SELECT i + 1, i + 1, sha256(i::text::bytea), 'mek_', 'Key', '{read}'
        FROM generate_series(0, :count - 1) AS i
        """,
    ),
)
"""Every route that writes."""
