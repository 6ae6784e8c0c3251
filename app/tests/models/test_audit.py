"""Whatever writes leaves an entry in the log of changes, which nobody can rewrite. All of it in raw SQL."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from app.core.database import Store
from app.models import Base, Event
from app.models.enums import AuditAction, AuditEntity, Role, TeamRole
from app.schemas.registrations import Application
from app.services import registrations
from app.tests.factories import DAY, HOUR, Factory, claims_of
from app.tests.models.conftest import Run

Entry = tuple[str, str, int, int | None, Any, Any]
Left = Callable[..., list[Entry]]

# What no entry tells: ids, which it says otherwise, edits and their times, copies and counters, which others
# keep, and secrets.
UNTOLD = {
    "events": {
        *("id", "confirmed_count", "waitlist_count", "created_at", "updated_at", "version", "is_live"),
        *("has_places", "name_words", "venue_words", "description_stems"),
    },
    "sessions": {
        *("id", "event_is_live", "event_start_at", "event_end_at", "room_parallel", "room_seats"),
        *("seats_taken", "created_at", "updated_at", "version", "during"),
    },
    "session_speakers": {"session_id", "during"},
    "speakers": {"id", "created_at", "version"},
    "event_speakers": {"speaker_id"},
    "rooms": {"id", "seats", "version"},
    "team_members": {"user_id", "added_at"},
    "users": {"id", "email", "full_name", "password_hash", "token_version", "created_at", "version"},
    "registrations": {"id", "event_id", "user_id", "status", "ticket_code", "created_at", "cancelled_at"},
}


@pytest.fixture
def left(connection: Connection) -> Left:
    """Do something, and return the entries that it leaves, in their order."""
    last = text("SELECT COALESCE(max(id), 0) FROM audit_entries")
    since = text("""
        SELECT action, entity, entity_id, event_id, before, after FROM audit_entries
        WHERE id > :last ORDER BY id
    """)

    def entries(do: Callable[..., object], *arguments: Any, **values: Any) -> list[Entry]:
        before = connection.execute(last).scalar_one()
        do(*arguments, **values)
        return [tuple(row) for row in connection.execute(since, {"last": before})]

    return entries


def written(moment: datetime) -> str:
    """Write a moment as PostgreSQL does in JSON, in UTC."""
    return moment.astimezone(UTC).isoformat()


def told(connection: Connection) -> dict[str, set[str]]:
    """Return, by table, the columns that the triggers on it show."""
    query = text("""
        SELECT DISTINCT tgrelid::regclass::text, tgargs FROM pg_trigger WHERE tgfoid = 'audit_row'::regproc
    """)
    arguments = {table: bytes(args).decode().split("\0") for table, args in connection.execute(query)}
    return {table: set(columns.split()) for table, (_, _, columns, _) in arguments.items()}


def test_each_column_of_what_is_logged_is_shown_or_left_out_on_purpose(connection: Connection) -> None:
    shown = told(connection)
    assert shown.keys() == UNTOLD.keys()
    for table, untold in UNTOLD.items():
        columns = {column.name for column in Base.metadata.tables[table].columns}
        assert (shown[table] | untold, shown[table] & untold) == (columns, set()), table


def test_each_shown_column_is_watched(connection: Connection) -> None:
    """A trigger on UPDATE that forgets a column would miss the change, whatever it would have shown."""
    query = text("""
        SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE tgfoid = 'audit_row'::regproc AND tgname LIKE '%\\_updated'
    """)
    shown = told(connection)
    del shown["registrations"]
    watched = {}
    for table, definition in connection.execute(query):
        columns, conditions = re.findall(r"AFTER UPDATE OF (.+?) ON .+ WHEN \((.+)\) EXECUTE", definition)[0]
        listed = set(columns.split(", "))
        assert set(re.findall(r"old\.(\w+)", conditions)) == listed
        assert set(re.findall(r"new\.(\w+)", conditions)) == listed
        watched[table] = listed
    assert all(shown[table] < watched[table] for table in shown)
    assert watched.keys() == shown.keys()


def test_an_event_is_logged_from_its_making_to_its_end(make: Factory, left: Left, run: Run) -> None:
    owner = make.user()
    (made,) = left(make.event, owner, name="Feria", venue="Ágora")
    key = made[2]
    event = make.db.get_one(Event, key)
    assert made[:5] == ("create", "event", key, key, None)
    assert made[5] == {
        "guid": str(event.guid),
        "name": "Feria",
        "description": None,
        "venue": "Ágora",
        "start_at": written(event.start_at),
        "end_at": written(event.end_at),
        "timezone": "UTC",
        "capacity_total": 100,
        "waitlist_enabled": False,
        "status": "PUBLISHED",
        "registration_opens_at": None,
        "registration_closes_at": None,
        "created_by": owner.id,
        "deleted_at": None,
    }
    rename = "UPDATE events SET name = 'Fiesta', venue = venue, capacity_total = 50, updated_at = now()"
    before, after = {"name": "Feria", "capacity_total": 100}, {"name": "Fiesta", "capacity_total": 50}
    assert left(run, rename) == [("update", "event", key, key, before, after)]
    assert left(run, rename) == []
    last = {**made[5], **after}
    assert left(run, "UPDATE events SET deleted_at = now()") == [("delete", "event", key, key, last, None)]
    assert left(run, "UPDATE events SET deleted_at = NULL") == [("create", "event", key, key, None, last)]
    assert left(run, "DELETE FROM events") == [("delete", "event", key, key, last, None)]


def test_a_deleted_row_is_logged_as_edited_and_as_gone(make: Factory, left: Left, run: Run) -> None:
    event = make.event(name="Feria", deleted_at=datetime.now(UTC))
    (edited,) = left(run, "UPDATE events SET name = 'Fiesta'")
    assert edited == ("update", "event", event.id, event.id, {"name": "Feria"}, {"name": "Fiesta"})
    ((action, *_, before, after),) = left(run, "DELETE FROM events")
    assert (action, before["name"], after) == ("delete", "Fiesta", None)


def test_a_room_is_logged_with_its_event(make: Factory, left: Left, run: Run) -> None:
    event = make.event()
    (made,) = left(make.room, event, name="Aula", capacity=20)
    room = {"event_id": event.id, "name": "Aula", "capacity": 20, "allow_parallel": False}
    assert made == ("create", "room", made[2], event.id, None, room)
    changed = left(run, "UPDATE rooms SET allow_parallel = true, capacity = 20")
    before, after = {"allow_parallel": False}, {"allow_parallel": True}
    assert changed == [("update", "room", made[2], event.id, before, after)]
    gone = left(run, "DELETE FROM rooms")
    assert gone == [("delete", "room", made[2], event.id, {**room, **after}, None)]


def test_the_team_is_logged_by_its_accounts(make: Factory, left: Left, run: Run) -> None:
    event, user = make.event(), make.user()
    member = {"event_id": event.id, "role": "STAFF"}
    joined = left(make.member, event, TeamRole.STAFF, user)
    assert joined == [("create", "team_member", user.id, event.id, None, member)]
    raised = left(run, "UPDATE team_members SET role = 'MANAGER'")
    before, after = {"role": "STAFF"}, {"role": "MANAGER"}
    assert raised == [("update", "team_member", user.id, event.id, before, after)]
    gone = left(run, "DELETE FROM team_members")
    assert gone == [("delete", "team_member", user.id, event.id, {**member, **after}, None)]


def test_a_session_is_logged_with_its_event(make: Factory, left: Left, run: Run) -> None:
    event = make.event()
    (planned,) = left(make.session, event, title="Taller")
    key = planned[2]
    assert planned[:5] == ("create", "session", key, event.id, None)
    assert {name: planned[5][name] for name in ("title", "event_id", "start_at", "room_id")} == {
        "title": "Taller",
        "event_id": event.id,
        "start_at": written(event.start_at),
        "room_id": None,
    }
    moved = left(run, "UPDATE sessions SET end_at = :end", end=event.start_at + 2 * HOUR)
    before = {"end_at": written(event.start_at + HOUR)}
    after = {"end_at": written(event.start_at + 2 * HOUR)}
    assert moved == [("update", "session", key, event.id, before, after)]


def test_an_event_that_moves_is_one_change_and_not_one_of_each_copy(
    make: Factory, left: Left, run: Run
) -> None:
    event = make.event()
    room = make.room(event)
    make.session(event, room=room, speakers=(make.speaker(),))
    end_at = event.end_at
    (moved,) = left(run, "UPDATE events SET end_at = end_at + interval '1 day'")
    assert moved[:3] == ("update", "event", event.id)
    assert moved[4:] == ({"end_at": written(end_at)}, {"end_at": written(end_at + DAY)})
    (widened,) = left(run, "UPDATE rooms SET allow_parallel = true, capacity = 500")
    assert widened[:3] == ("update", "room", room.id)


def test_who_speaks_where_is_a_change_of_the_session(make: Factory, left: Left, run: Run) -> None:
    event, ana, luis = make.event(), make.speaker(), make.speaker()
    session = make.session(event)
    put_on = """
        INSERT INTO session_speakers (session_id, speaker_id, during)
        SELECT id, :speaker, during FROM sessions
    """
    about = ("update", "session", session.id, event.id)
    assert left(run, put_on, speaker=ana.id) == [(*about, {"speaker_id": None}, {"speaker_id": ana.id})]
    swap = "UPDATE session_speakers SET speaker_id = :speaker"
    assert left(run, swap, speaker=luis.id) == [(*about, {"speaker_id": ana.id}, {"speaker_id": luis.id})]
    assert left(run, "UPDATE session_speakers SET during = during") == []
    gone = left(run, "DELETE FROM session_speakers")
    assert gone == [(*about, {"speaker_id": luis.id}, {"speaker_id": None})]


def test_a_link_that_is_bent_to_something_else_is_seen(make: Factory, left: Left, run: Run) -> None:
    event, speaker = make.event(), make.speaker()
    one = make.session(event, speakers=(speaker,))
    other = make.session(event, start_at=event.start_at + HOUR, end_at=event.start_at + 2 * HOUR)
    bend = (
        "UPDATE session_speakers SET session_id = :id, during = (SELECT during FROM sessions WHERE id = :id)"
    )
    bent = left(run, bend, id=other.id)
    before, after = {"session_id": one.id}, {"session_id": other.id}
    assert bent == [("update", "session", other.id, event.id, before, after)]


def test_a_speaker_is_logged_with_each_event_of_theirs(make: Factory, left: Left, run: Run) -> None:
    maker, one, other = make.user(), make.event(), make.event()
    (made,) = left(make.speaker, maker, full_name="Ana", bio="Poeta", links=["https://example.com/ana"])
    key = made[2]
    ana = {"full_name": "Ana", "bio": "Poeta", "links": ["https://example.com/ana"], "created_by": maker.id}
    assert made[:5] == ("create", "speaker", key, None, None)
    assert made[5].items() >= ana.items()
    invited = left(run, "INSERT INTO event_speakers VALUES (:event, :speaker)", event=one.id, speaker=key)
    assert invited == [("update", "speaker", key, one.id, {"event_id": None}, {"event_id": one.id})]
    session, off = make.session(other), make.session(make.event(), deleted_at=datetime.now(UTC))
    put_on = "INSERT INTO session_speakers SELECT id, :speaker, during FROM sessions WHERE id = :id"
    run(put_on, speaker=key, id=session.id)
    run(put_on, speaker=key, id=off.id)
    changed = left(run, "UPDATE speakers SET bio = NULL")
    assert changed == [
        ("update", "speaker", key, event.id, {"bio": "Poeta"}, {"bio": None}) for event in (one, other)
    ]
    run("DELETE FROM session_speakers")
    deleted, removed = left(run, "DELETE FROM speakers")
    assert deleted[:4] == ("delete", "speaker", key, one.id)
    assert (deleted[4]["full_name"], deleted[5]) == ("Ana", None)
    assert removed == ("update", "speaker", key, one.id, {"event_id": one.id}, {"event_id": None})


def test_a_role_is_logged_and_a_sign_up_is_not(make: Factory, left: Left, run: Run) -> None:
    assert left(make.user, email="ana@example.com") == []
    assert left(run, "UPDATE users SET full_name = 'Ana', password_hash = 'x', token_version = 2") == []
    (made,) = left(make.admin)
    assert made == ("create", "user", made[2], None, None, {"role": "ADMIN", "is_active": True})
    (born_off,) = left(make.user, is_active=False)
    assert born_off[5] == {"role": "ATTENDEE", "is_active": False}
    raised = left(run, "UPDATE users SET role = 'ORGANIZER', is_active = true WHERE role <> 'ADMIN'")
    assert [(entry[4], entry[5]) for entry in raised] == [
        ({"role": "ATTENDEE"}, {"role": "ORGANIZER"}),
        ({"role": "ATTENDEE", "is_active": False}, {"role": "ORGANIZER", "is_active": True}),
    ]
    gone = left(run, "DELETE FROM users WHERE role = 'ADMIN'")
    assert gone == [("delete", "user", made[2], None, made[5], None)]


def test_a_check_in_is_logged_however_it_comes_and_goes(make: Factory, left: Left, run: Run) -> None:
    event, other = make.event(), make.event()
    ids = [make.registration(event).id for _ in range(3)]
    nine, eight = event.start_at, event.start_at - HOUR
    at_nine, at_eight = ({"checked_in_at": written(moment)} for moment in (nine, eight))
    everybody = "UPDATE registrations SET checked_in_at = :at"
    came = left(run, everybody, at=nine)
    assert came == [("create", "check_in", key, event.id, None, at_nine) for key in ids]
    assert left(run, everybody, at=nine) == []
    earlier = left(run, f"{everybody} WHERE id = :id", at=eight, id=ids[0])
    assert earlier == [("update", "check_in", ids[0], event.id, at_nine, at_eight)]
    undone = left(run, f"{everybody} WHERE id = :id", at=None, id=ids[0])
    assert undone == [("delete", "check_in", ids[0], event.id, at_eight, None)]
    moved = left(run, "UPDATE registrations SET event_id = :other WHERE id = :id", other=other.id, id=ids[1])
    assert sorted(moved) == [
        ("create", "check_in", ids[1], other.id, None, at_nine),
        ("delete", "check_in", ids[1], event.id, at_nine, None),
    ]
    (inside,) = left(make.registration, event, checked_in_at=nine)
    assert inside == ("create", "check_in", inside[2], event.id, None, at_nine)
    (gone,) = left(run, "DELETE FROM registrations WHERE id = :id", id=inside[2])
    assert gone == ("delete", "check_in", inside[2], event.id, at_nine, None)


def test_a_place_that_is_taken_given_back_or_promoted_is_no_change(
    make: Factory, left: Left, run: Run
) -> None:
    event = make.event(capacity_total=2, waitlist_enabled=True)
    users = [make.user() for _ in range(3)]
    applications = [Application(claims_of(user), event.id) for user in users]
    assert left(lambda: registrations.admit(make.db, applications)) == []
    make.db.commit()
    assert left(registrations.cancel, make.db, users[0], event.id) == []
    states = make.db.scalars(text("SELECT status FROM registrations ORDER BY id")).all()
    assert states == ["CANCELLED", "CONFIRMED", "CONFIRMED"]


def test_a_sale_rewrites_the_row_in_place_and_no_index(make: Factory, connection: Connection) -> None:
    query = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'events'")
    event, users = make.event(), [make.user() for _ in range(5)]
    before = connection.execute(query).one()
    for user in users:
        registrations.admit(make.db, [Application(claims_of(user), event.id)])
        make.db.flush()
    updated, in_place = (a - b for a, b in zip(connection.execute(query).one(), before, strict=True))
    assert (updated, in_place) == (5, 5)


def test_an_entry_says_who_when_and_from_where_or_which_role_wrote(make: Factory, run: Run) -> None:
    query = """
        SELECT actor_id, ip, request_id, database_role = session_user, at = now() FROM audit_entries
        ORDER BY id DESC LIMIT 1
    """
    event = make.event()
    assert run(query).one() == (None, None, None, True, True)
    run(
        """
        SELECT set_config('mis_eventos.actor_id', :actor, true), set_config('mis_eventos.ip', :ip, true),
            set_config('mis_eventos.request_id', :request, true)
    """,
        actor=str(event.created_by),
        ip="2001:db8::1" + "0" * 100,
        request="r-1",
    )
    run("UPDATE events SET name = 'Renamed'")
    assert run(query).one() == (event.created_by, ("2001:db8::1" + "0" * 100)[:64], "r-1", True, True)


def test_times_are_in_utc_wherever_the_writer_is(make: Factory, left: Left, run: Run) -> None:
    event = make.event()
    ticket = make.registration(event)
    run("SET LOCAL timezone = 'America/Bogota'")
    end_at = event.end_at
    (moved,) = left(run, "UPDATE events SET end_at = end_at + interval '1 hour'")
    assert moved[5] == {"end_at": written(end_at + HOUR)}
    (came,) = left(run, "UPDATE registrations SET checked_in_at = :at", at=event.start_at)
    assert came[2:] == (ticket.id, event.id, None, {"checked_in_at": written(event.start_at)})
    assert run("SHOW timezone").scalar_one() == "America/Bogota"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor_id = 1",
        "UPDATE audit_entries SET actor_id = 1 WHERE false",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE false",
        "TRUNCATE audit_entries",
        """
        INSERT INTO audit_entries (id, action, entity, entity_id, database_role)
        SELECT id, action, entity, entity_id, database_role FROM audit_entries
        ON CONFLICT (id) DO UPDATE SET actor_id = 1
        """,
    ],
)
def test_an_entry_is_never_changed_or_deleted(
    make: Factory, run: Run, connection: Connection, statement: str
) -> None:
    make.event()
    everything = "SELECT * FROM audit_entries ORDER BY id"
    before = run(everything).all()
    assert before != []
    with (
        pytest.raises(ProgrammingError, match=r"audit entries are only ever added; \w+ is refused"),
        connection.begin_nested(),
    ):
        connection.execute(text(statement))
    assert run(everything).all() == before


def test_a_write_that_is_undone_leaves_no_entry(make: Factory, left: Left, connection: Connection) -> None:
    event = make.event()

    def rename_and_think_again() -> None:
        savepoint = connection.begin_nested()
        connection.execute(text("UPDATE events SET name = 'Renamed'"))
        savepoint.rollback()

    assert left(rename_and_think_again) == []
    make.db.refresh(event)
    assert event.name == "Event"


def test_nothing_that_is_a_secret_is_in_the_log(make: Factory, run: Run) -> None:
    """In each field that holds one there is one here; all are written to, in rows that are all logged."""
    secrets = {"password_hash": "planted-hash", "ticket_code": "planted-ticket"}
    owner = make.user(email="planted-address@example.com", password_hash="planted-hash", role=Role.ORGANIZER)
    event = make.event(owner)
    make.registration(event, owner, ticket_code="planted-ticket", checked_in_at=event.start_at)
    make.calendar(owner)
    run("UPDATE users SET role = 'ADMIN', password_hash = 'planted-hash-2'")
    run("UPDATE registrations SET checked_in_at = now(), ticket_code = 'planted-ticket-2'")
    run("DELETE FROM calendar_feeds")
    run("DELETE FROM registrations")
    log = str(run("SELECT audit_entries::text FROM audit_entries").all())
    assert log.count("check_in") >= 3
    assert "planted" not in log
    assert not any(name in log for name in secrets)


def test_what_one_transaction_says_of_its_author_ends_with_it(live: Store) -> None:
    sign = text("SELECT set_config('mis_eventos.actor_id', '7', true)")
    with live.job() as other, live.engine.connect() as connection:
        with connection.begin():
            connection.execute(sign)
            make = Factory(other)
            owner = make.admin()
            connection.execute(text("UPDATE users SET role = 'ORGANIZER' WHERE id = :id"), {"id": owner.id})
        with connection.begin():
            connection.execute(text("UPDATE users SET role = 'ATTENDEE' WHERE id = :id"), {"id": owner.id})
            signed = connection.scalars(text("SELECT actor_id FROM audit_entries ORDER BY id")).all()
    assert signed == [None, 7, None]


def test_the_log_knows_its_words(connection: Connection) -> None:
    query = text("SELECT DISTINCT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgfoid = 'audit_row'::regproc")
    written = {re.findall(r"audit_row\('(\w+)'", definition)[0] for definition in connection.scalars(query)}
    assert written == {entity.value for entity in AuditEntity}
    source = connection.execute(text("SELECT prosrc FROM pg_proc WHERE proname = 'audit_row'")).scalar_one()
    assert {action.value for action in AuditAction} == set(re.findall(r"'(create|update|delete)'", source))


def test_people_who_are_checked_in_together_are_logged_by_one_statement(connection: Connection) -> None:
    for_each = text("""
        SELECT tgtype & 1 FROM pg_trigger
        WHERE tgrelid = 'registrations'::regclass AND tgname = 'registrations_audit_updated'
    """)
    assert connection.scalars(for_each).all() == [0]
