"""Two roles, as the documentation sets them up: who works can do all of it, and cannot rewrite the log."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from app.api import create_app
from app.core.migrations import upgrade
from app.core.settings import PROJECT, Settings
from app.tests.conftest import PREFIX, SECRET
from app.tests.factories import PASSWORD, soon
from app.tests.routers.conftest import z

OPERATIONS = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")


def sql(heading: str) -> list[list[str]]:
    """Return the statements of each block of SQL in a section of the documentation."""
    section = OPERATIONS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [[statement for statement in block.split(";") if statement.strip()] for block in blocks]


class Installation:
    """A database with an owner and a worker."""

    def __init__(self, server_url: str, suffix: str) -> None:
        self._server = make_url(server_url)
        self.worker, self.owner = f"mis_eventos_roles_{suffix}", f"mis_eventos_roles_owner_{suffix}"
        self.administrator = self.engine(self._server.username or "postgres", self._server.database)

    def run(self, engine: Engine, statements: list[str]) -> None:
        """Run statements of the documentation with these roles and this database in the place of its."""
        with engine.connect() as connection:
            for statement in statements:
                named = re.sub(r"\bmis_eventos_owner\b", self.owner, statement)
                named = re.sub(r"\bmis_eventos\b(?!\.)", self.worker, named)
                connection.exec_driver_sql(named.replace("PASSWORD '…'", f"PASSWORD '{PASSWORD}'"))

    def url(self, role: str, database: str | None = None) -> str:
        password = PASSWORD if role in {self.owner, self.worker} else self._server.password
        url = self._server.set(username=role, password=password, database=database or self.worker)
        return url.render_as_string(hide_password=False)

    def engine(self, role: str, database: str | None = None) -> Engine:
        return create_engine(self.url(role, database), poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def remove(self) -> None:
        with self.administrator.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {self.worker} WITH (FORCE)")
            connection.exec_driver_sql(f"DROP ROLE IF EXISTS {self.worker}, {self.owner}")


@pytest.fixture(scope="module")
def installation(direct_url: str, worker: str) -> Iterator[Installation]:
    # A pooler signs in by itself; the one of the tests knows one role.
    before, there, after = sql("Two roles")
    made = Installation(direct_url, worker)
    made.run(made.administrator, before)
    made.run(made.engine(made.administrator.url.username or ""), there)
    upgrade(create_engine(made.url(made.owner), poolclass=NullPool))
    made.run(made.engine(made.owner), after)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def worked(installation: Installation) -> Any:
    """Let somebody make an event and all that belongs to it, in the service, as the role that works."""
    settings = Settings(_env_file=None, database_url=installation.url(installation.worker), secret_key=SECRET)
    with TestClient(create_app(settings)) as client:

        def call(method: str, path: str, body: Any = None) -> Any:
            response = client.request(method, PREFIX + path, json=body)
            assert response.is_success, response.text
            return response.json() if response.content else None

        account = {"email": "ana@example.com", "password": PASSWORD}
        token = call("POST", "/auth/register", account)["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        times = {"start_at": z(soon(30)), "end_at": z(soon(31))}
        event = call("POST", "/events", {"name": "Feria", "capacity_total": 2, **times})["id"]
        speaker = call("POST", "/speakers", {"full_name": "Laura", "event_id": event})["id"]
        plan = {"event_id": event, "title": "Taller", "room": "Aula", "speaker_ids": [speaker], **times}
        session = call("POST", "/sessions", plan)["id"]
        ticket = call("POST", f"/registrations/events/{event}")["ticket_code"]
        call("POST", f"/registrations/sessions/{session}")
        call("POST", f"/events/{event}/check-ins", {"ticket_code": ticket})
        call("PATCH", f"/events/{event}?shift_sessions=true", {"start_at": z(soon(40))})
        call("DELETE", f"/sessions/{session}")
        assert client.get("/health/ready").status_code == 200
        return call("GET", f"/events/{event}/audit")["items"]


def test_who_works_can_do_all_of_the_work_and_read_the_log(worked: Any) -> None:
    done = [(entry["action"], entry["entity"]) for entry in reversed(worked)]
    assert done == [
        ("create", "event"),
        ("update", "speaker"),
        ("create", "room"),
        ("create", "session"),
        ("update", "session"),
        ("create", "check_in"),
        ("update", "event"),
        ("update", "session"),
        ("update", "event"),
        ("delete", "session"),
    ]
    assert {entry["actor"]["email"] for entry in worked} == {"ana@example.com"}


MINE = "CREATE TEMPORARY TABLE mine (id integer, role text); CREATE TRIGGER mine AFTER UPDATE ON mine"
BOTH = "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor_id = NULL",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        """
        INSERT INTO audit_entries (action, entity, entity_id, database_role)
        VALUES ('create', 'user', 1, 'somebody')
        """,
        "ALTER TABLE audit_entries DISABLE TRIGGER USER",
        "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_guard_history",
        "ALTER TABLE events DISABLE TRIGGER USER",
        "DROP TRIGGER audit_entries_guard_history ON audit_entries",
        "DROP TRIGGER events_audit_updated ON events",
        "DROP TABLE audit_entries",
        "SET session_replication_role = replica",
        "SET ROLE mis_eventos_owner",
        "CREATE OR REPLACE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE TABLE public.mine (id integer)",
        # Either would write into the log, in the owner's name, what never happened.
        f"{MINE} FOR EACH ROW EXECUTE FUNCTION audit_row('user', 'id', 'role')",
        f"{MINE} {BOTH} FOR EACH STATEMENT EXECUTE FUNCTION audit_check_ins()",
        # These leave no trace.
        "TRUNCATE events CASCADE",
        "UPDATE alembic_version SET version_num = 'x'",
    ],
)
def test_who_works_cannot_rewrite_the_log_nor_get_round_it(
    installation: Installation, worked: Any, statement: str
) -> None:
    with pytest.raises(ProgrammingError) as caught:
        installation.run(installation.engine(installation.worker), [statement])
    assert getattr(caught.value.orig, "pgcode", None) == "42501"  # insufficient_privilege


def test_a_table_of_ones_own_takes_no_entry_away(installation: Installation, worked: Any) -> None:
    with installation.engine(installation.worker).connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE audit_entries (LIKE public.audit_entries)")
        connection.exec_driver_sql("UPDATE public.events SET name = 'Fiesta'")
        newest = "SELECT after, database_role FROM public.audit_entries ORDER BY id DESC LIMIT 1"
        assert connection.exec_driver_sql(newest).one() == ({"name": "Fiesta"}, installation.worker)
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_temp.audit_entries").scalar_one() == 0


def test_whoever_signs_by_hand_is_named(installation: Installation, worked: Any) -> None:
    sign, _ = sql("The log of changes")
    engine = installation.engine(installation.worker)
    installation.run(engine, [re.sub(r"WHERE id = \d+", "", statement) for statement in sign])
    with engine.connect() as connection:
        newest = "SELECT actor_id, after FROM audit_entries ORDER BY id DESC LIMIT 1"
        assert connection.exec_driver_sql(newest).one() == (1, {"venue": "Ágora"})


def test_the_owner_removes_what_is_old_and_nothing_else(installation: Installation, worked: Any) -> None:
    _, purge = sql("The log of changes")
    engine = installation.engine(installation.owner)
    count = text("SELECT count(*) FROM audit_entries")
    with engine.connect() as connection:
        there = connection.scalar(count)
        connection.exec_driver_sql(
            "INSERT INTO audit_entries (at, action, entity, entity_id, database_role)"
            " VALUES (now() - interval '3 years', 'create', 'user', 1, 'somebody')"
        )
        assert connection.scalar(count) == (there or 0) + 1
        installation.run(engine, purge)
        assert connection.scalar(count) == there
        with pytest.raises(ProgrammingError, match="audit entries are only ever added"):
            connection.exec_driver_sql("DELETE FROM audit_entries")
