"""What the OpenAPI document says beside what the routes say."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from app.core.exceptions import MissingScope, NotForKeys
from app.core.problems import MEDIA_TYPE, PROBLEM_SCHEMA, problems

DESCRIPTION = """
The backend that organisers run their events on: **events** with **sessions**, **speakers** and **rooms**,
people who **register**, and accounts.

To try it here: press *Sign up* below, then **Authorize** with that email and password, then create an
event. Every example works when pressed.

Errors are problem documents ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): `detail` says what to
do, and `type` is what a program should look at. Times go in as RFC 3339 with an offset and come out in
UTC. Every answer carries an `X-Request-ID`; name it when you ask for help.
"""

TAGS = [
    {"name": "Events", "description": "What people come to, and those who run it."},
    {
        "name": "Sessions",
        "description": "Talks and workshops, in rooms, with speakers, without clashes.",
    },
    {"name": "Speakers", "description": "Those who speak, kept by who made the entry."},
    {"name": "Rooms", "description": "Where sessions are held."},
    {
        "name": "Registrations",
        "description": "Places at events. Never more than there are.",
    },
    {"name": "Seats", "description": "Places in sessions, and the agenda that they make."},
    {
        "name": "Calendars",
        "description": "Events and agendas for calendar programs, and schedules to exchange.",
    },
    {"name": "Audit", "description": "Who changed what when, from where, old and new."},
    {"name": "Accounts", "description": "Signing up, signing in, and who may do what."},
    {"name": "Health", "description": "For load balancers and container platforms."},
    {
        "name": "Aliases",
        "description": "Older addresses, kept for a frontend written for them.",
    },
]


def describe_problems(app: FastAPI) -> None:
    """Put the shape of every refusal into the document, in the place of the framework's own."""
    generate = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = generate()
            parts = whole.setdefault("components", {})
            schemas = parts.setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schemas["Problem"] = PROBLEM_SCHEMA
            _describe_keys(parts["securitySchemes"], whole["paths"])
            # The whole path, so that the Authorize dialog finds it whatever the prefix is.
            password = parts["securitySchemes"]["Account"]["flows"]["password"]
            password["tokenUrl"] = str(app.url_path_for("sign_in_with_form"))
        return generate()

    app.openapi = document  # type: ignore[method-assign]


def _describe_keys(schemes: dict[str, Any], paths: dict[str, dict[str, Any]]) -> None:
    """Say where API keys are taken, and that one may lack the scope: it is refused in one place for all."""
    schemes["Key"] = {"type": "http", "scheme": "bearer", "description": "An API key, `mek_…`."}
    lacking = problems(MissingScope)[MissingScope.status]
    for operation in (operation for path in paths.values() for operation in path.values()):
        responses = operation["responses"]
        refused = responses.get(str(MissingScope.status), deepcopy(lacking))
        examples = refused["content"][MEDIA_TYPE]["examples"]
        if "security" in operation and NotForKeys.slug() not in examples:
            operation["security"].append({"Key": []})
            examples.update(deepcopy(lacking["content"][MEDIA_TYPE]["examples"]))
            titles = dict.fromkeys([*refused["description"].split(". "), lacking["description"]])
            refused["description"] = ". ".join(titles)
            responses[str(MissingScope.status)] = refused
