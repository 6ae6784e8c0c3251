"""Every change leaves an audit entry."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "9b1f4c7a2e60"
down_revision: str | None = "c7d20f4b81ae"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ACTIONS = ("create", "update", "delete")
ENTITIES = ("event", "session", "speaker", "room", "team_member", "user", "check_in")

# Of each table, what its rows are called, their key, and the columns that are shown. None that is not named
# here is ever written: no counter, no copy, no password hash, no ticket code.
AUDITED = {
    "events": (
        "event",
        "id",
        (
            "guid name description venue start_at end_at timezone capacity_total waitlist_enabled status "
            "registration_opens_at registration_closes_at created_by deleted_at"
        ),
    ),
    "sessions": (
        "session",
        "id",
        "guid event_id title description start_at end_at room_id capacity_total deleted_at",
    ),
    "session_speakers": ("session", "session_id", "speaker_id"),
    "speakers": ("speaker", "id", "guid full_name headline bio company photo_url links created_by"),
    "event_speakers": ("speaker", "speaker_id", "event_id"),
    "rooms": ("room", "id", "event_id name capacity allow_parallel"),
    "team_members": ("team_member", "user_id", "event_id role"),
    "users": ("user", "id", "role is_active"),
}
# Who signs up as anybody does changes nobody's role.
NOTABLE = {"users": "NEW.role <> 'ATTENDEE' OR NOT NEW.is_active"}

# The connection's own role: within the function it is the one that made it.
ORIGIN = """
    NULLIF(current_setting('mis_eventos.actor_id', true), '')::integer,
    left(NULLIF(current_setting('mis_eventos.ip', true), ''), 64),
    left(NULLIF(current_setting('mis_eventos.request_id', true), ''), 128),
    session_user
"""
COLUMNS = "event_id, action, entity, entity_id, before, after, actor_id, ip, request_id, database_role"

# They write as who made them, so that nobody else needs the right to write into the log. Temporary tables
# come last, or somebody's own `audit_entries` would take what is meant for this one.
AS_OWNER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'"

AUDIT_ROW = f"""
CREATE FUNCTION audit_row() RETURNS trigger {AS_OWNER} AS $$
DECLARE
    key text := TG_ARGV[1];
    names text[] := string_to_array(TG_ARGV[2], ' ');
    was jsonb := to_jsonb(OLD);
    became jsonb := to_jsonb(NEW);
    subject integer := COALESCE(became, was) ->> key;
    event_ids integer[] := ARRAY[(COALESCE(became, was) ->> 'event_id')::integer];
    done text := CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'update' ELSE 'delete' END;
BEGIN
    IF TG_TABLE_NAME IN ('session_speakers', 'event_speakers') THEN
        -- A part of the session, or of the speaker, that comes or goes.
        done := 'update';
    ELSIF TG_OP = 'UPDATE' AND (was ->> 'deleted_at' IS NULL) <> (became ->> 'deleted_at' IS NULL) THEN
        done := CASE WHEN became ->> 'deleted_at' IS NULL THEN 'create' ELSE 'delete' END;
    END IF;
    IF TG_OP = 'UPDATE' AND was -> key <> became -> key THEN
        names := array_prepend(key, names);
    END IF;
    IF TG_TABLE_NAME = 'events' THEN
        event_ids := ARRAY[subject];
    ELSIF TG_TABLE_NAME = 'session_speakers' THEN
        event_ids := ARRAY(SELECT event_id FROM sessions WHERE id = subject);
    ELSIF TG_TABLE_NAME = 'speakers' THEN
        event_ids := ARRAY(
            SELECT event_id FROM event_speakers WHERE speaker_id = subject
            UNION
            SELECT event_id FROM session_speakers JOIN sessions ON sessions.id = session_id
            WHERE speaker_id = subject AND deleted_at IS NULL
            ORDER BY event_id
        );
    END IF;
    IF cardinality(event_ids) = 0 THEN
        event_ids := ARRAY[NULL::integer];
    END IF;
    INSERT INTO audit_entries ({COLUMNS})
    SELECT
        event_id, done, TG_ARGV[0], subject,
        CASE WHEN done <> 'create' THEN before END,
        CASE WHEN done <> 'delete' THEN after END,
        {ORIGIN}
    FROM unnest(event_ids) AS event_id, (
        SELECT jsonb_object_agg(name, was -> name), jsonb_object_agg(name, became -> name)
        FROM unnest(names) AS name
        WHERE done <> 'update' OR was -> name IS DISTINCT FROM became -> name
    ) AS told (before, after);
    RETURN OLD;
END
$$
"""  # noqa: S608 - made of constants

# A batch of scans is one statement, and so is what it leaves here. Grouped and not joined: the plan is kept,
# made for as many rows as the first statement had.
AUDIT_CHECK_INS = f"""
CREATE FUNCTION audit_check_ins() RETURNS trigger {AS_OWNER} AS $$
BEGIN
    INSERT INTO audit_entries ({COLUMNS})
    SELECT
        event_id,
        CASE WHEN was IS NULL THEN 'create' WHEN became IS NULL THEN 'delete' ELSE 'update' END,
        'check_in', id,
        CASE WHEN was IS NOT NULL THEN jsonb_build_object('checked_in_at', was) END,
        CASE WHEN became IS NOT NULL THEN jsonb_build_object('checked_in_at', became) END,
        {ORIGIN}
    FROM (
        SELECT id, event_id, max(was) AS was, max(became) AS became
        FROM (
            SELECT id, event_id, checked_in_at AS was, NULL::timestamptz AS became FROM old_rows
            UNION ALL
            SELECT id, event_id, NULL, checked_in_at FROM new_rows
        ) AS sides
        GROUP BY id, event_id HAVING max(was) IS DISTINCT FROM max(became)
    ) AS moved
    ORDER BY id, became IS NOT NULL;
    RETURN NULL;
END
$$
"""  # noqa: S608 - made of constants

REFUSE_REWRITING = """
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are only ever added; % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'docs/operations.md says how old ones are removed.';
END
$$
"""

FUNCTIONS = ("audit_row", "audit_check_ins")


def triggers() -> dict[str, str]:
    """Write the triggers by name, each with the table that it is on and when it runs."""
    written = {
        # For each row and not with a statement: what sells places writes none of these columns, and what
        # does not name them does not even ask. A BEFORE trigger would have events locked as by a change of
        # their key.
        f"{table}_audit_{past}": f"{when} ON {table} FOR EACH ROW {condition}"
        f" EXECUTE FUNCTION audit_row('{entity}', '{key}', '{columns}')"
        for table, (entity, key, columns) in AUDITED.items()
        for past, when, condition in moments(table, (key, *columns.split()))
    }
    check_in = "EXECUTE FUNCTION audit_row('check_in', 'id', 'checked_in_at')"
    return written | {
        "registrations_audit_inserted": "AFTER INSERT ON registrations FOR EACH ROW"
        f" WHEN (NEW.checked_in_at IS NOT NULL) {check_in}",
        "registrations_audit_updated": "AFTER UPDATE ON registrations"
        " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_check_ins()",
        "registrations_audit_deleted": "AFTER DELETE ON registrations FOR EACH ROW"
        f" WHEN (OLD.checked_in_at IS NOT NULL) {check_in}",
    }


def moments(table: str, columns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Say when a table's rows are looked at: the trigger's last word, its event, and its condition."""
    before, after = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    notable = f"WHEN ({NOTABLE[table]})" if table in NOTABLE else ""
    return [
        ("inserted", "AFTER INSERT", notable),
        ("updated", f"AFTER UPDATE OF {', '.join(columns)}", f"WHEN (({before}) IS DISTINCT FROM ({after}))"),
        # While a speaker's events are still known.
        ("deleted", "BEFORE DELETE" if table == "speakers" else "AFTER DELETE", ""),
    ]


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column(
            "action", sa.Enum(*ACTIONS, name="auditaction", native_enum=False, length=16), nullable=False
        ),
        sa.Column(
            "entity", sa.Enum(*ENTITIES, name="auditentity", native_enum=False, length=16), nullable=False
        ),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("database_role", sa.Text(), nullable=False),
        sa.CheckConstraint(f"action IN {ACTIONS}", name=op.f("ck_audit_entries_action_is_known")),
        sa.CheckConstraint(f"entity IN {ENTITIES}", name=op.f("ck_audit_entries_entity_is_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    for columns in (
        ["at", "id"],
        ["event_id", "at", "id"],
        ["entity", "entity_id", "at", "id"],
        ["actor_id", "at", "id"],
    ):
        op.create_index(f"ix_audit_entries_{'_'.join(columns)}", "audit_entries", columns, unique=False)
    for function in (AUDIT_ROW, AUDIT_CHECK_INS, REFUSE_REWRITING):
        op.execute(function)
    for name in FUNCTIONS:
        # On a table of one's own it would write whatever one likes.
        op.execute(f"REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC")
    op.execute("""
        CREATE TRIGGER audit_entries_guard_history BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()
    """)
    for name, what in triggers().items():
        op.execute(f"CREATE TRIGGER {name} {what}")


def downgrade() -> None:
    for name in triggers():
        op.execute(f"DROP TRIGGER {name} ON {name.partition('_audit_')[0]}")
    op.drop_table("audit_entries")
    for name in (*FUNCTIONS, "refuse_rewriting"):
        op.execute(f"DROP FUNCTION {name}()")
