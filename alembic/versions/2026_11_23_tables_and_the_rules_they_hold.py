"""The service's tables and the rules they hold."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "607b4d66ddc9"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# A registration is counted where it is written, whoever writes it: one statement costs one update per
# event, the events are locked in the order of their ids, and the CHECK on the counter refuses the rest.
COUNT_PLACES = """
CREATE FUNCTION count_places() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE events SET confirmed_count = 0, waitlist_count = 0
        WHERE confirmed_count <> 0 OR waitlist_count <> 0;
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM FROM events WHERE id IN (SELECT event_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;
        UPDATE events SET
            confirmed_count = confirmed_count + change.confirmed,
            waitlist_count = waitlist_count + change.waitlisted
        FROM (
            SELECT event_id,
                count(*) FILTER (WHERE status = 'CONFIRMED') AS confirmed,
                count(*) FILTER (WHERE status = 'WAITLISTED') AS waitlisted
            FROM new_rows GROUP BY event_id
        ) AS change
        WHERE id = change.event_id AND (change.confirmed <> 0 OR change.waitlisted <> 0);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM FROM events WHERE id IN (SELECT event_id FROM old_rows) ORDER BY id FOR NO KEY UPDATE;
        UPDATE events SET
            confirmed_count = confirmed_count - change.confirmed,
            waitlist_count = waitlist_count - change.waitlisted
        FROM (
            SELECT event_id,
                count(*) FILTER (WHERE status = 'CONFIRMED') AS confirmed,
                count(*) FILTER (WHERE status = 'WAITLISTED') AS waitlisted
            FROM old_rows GROUP BY event_id
        ) AS change
        WHERE id = change.event_id AND (change.confirmed <> 0 OR change.waitlisted <> 0);
    ELSE
        PERFORM FROM events
        WHERE id IN (SELECT event_id FROM old_rows UNION SELECT event_id FROM new_rows)
        ORDER BY id FOR NO KEY UPDATE;
        UPDATE events SET
            confirmed_count = confirmed_count + change.confirmed,
            waitlist_count = waitlist_count + change.waitlisted
        FROM (
            SELECT event_id,
                COALESCE(sum(sign) FILTER (WHERE status = 'CONFIRMED'), 0) AS confirmed,
                COALESCE(sum(sign) FILTER (WHERE status = 'WAITLISTED'), 0) AS waitlisted
            FROM (
                SELECT event_id, status, 1 AS sign FROM new_rows
                UNION ALL
                SELECT event_id, status, -1 FROM old_rows
            ) AS moves
            GROUP BY event_id
        ) AS change
        WHERE id = change.event_id AND (change.confirmed <> 0 OR change.waitlisted <> 0);
    END IF;
    RETURN NULL;
END
$$
"""

TRIGGERS = (
    """
    CREATE TRIGGER registrations_count_inserted AFTER INSERT ON registrations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_places()
    """,
    """
    CREATE TRIGGER registrations_count_updated AFTER UPDATE ON registrations
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_places()
    """,
    """
    CREATE TRIGGER registrations_count_deleted AFTER DELETE ON registrations
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_places()
    """,
    """
    CREATE TRIGGER registrations_count_truncated AFTER TRUNCATE ON registrations
    FOR EACH STATEMENT EXECUTE FUNCTION count_places()
    """,
    """
    CREATE TRIGGER events_guard_counters_on_insert BEFORE INSERT ON events FOR EACH ROW
    WHEN (NEW.confirmed_count <> 0 OR NEW.waitlist_count <> 0) EXECUTE FUNCTION refuse_counter()
    """,
    # At depth 0 a statement of a client writes the counter; deeper, the trigger above does. It looks after
    # the update: before one, PostgreSQL would take every generated column for changed, `is_live` in the key
    # among them, and lock the event against the sessions that are being planned.
    """
    CREATE TRIGGER events_guard_counters_on_update AFTER UPDATE ON events FOR EACH ROW
    WHEN (pg_trigger_depth() = 0 AND (
        OLD.confirmed_count <> NEW.confirmed_count OR OLD.waitlist_count <> NEW.waitlist_count
    )) EXECUTE FUNCTION refuse_counter()
    """,
)

REFUSE_COUNTER = """
CREATE FUNCTION refuse_counter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the counters of event % follow its registrations and are not written by hand', NEW.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_events_counters_follow_registrations';
END
$$
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("full_name", sa.String(length=255), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "ADMIN",
                "ORGANIZER",
                "ATTENDEE",
                name="role",
                native_enum=False,
                length=16,
            ),
            server_default="ATTENDEE",
            nullable=False,
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("token_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('ADMIN', 'ORGANIZER', 'ATTENDEE')",
            name=op.f("ck_users_role_is_known"),
        ),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_is_lower_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_index(
        "ix_users_active_admins",
        "users",
        ["id"],
        unique=False,
        postgresql_where=sa.text("role = 'ADMIN' AND is_active"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("venue", sa.String(length=255), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timezone", sa.String(length=64), server_default="UTC", nullable=False),
        sa.Column("capacity_total", sa.Integer(), nullable=False),
        sa.Column("confirmed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("waitlist_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "waitlist_enabled",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "DRAFT",
                "PUBLISHED",
                "CANCELLED",
                "FINISHED",
                name="eventstatus",
                native_enum=False,
                length=16,
            ),
            server_default="PUBLISHED",
            nullable=False,
        ),
        sa.Column("registration_opens_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("registration_closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "is_live",
            sa.Boolean(),
            sa.Computed("status <> 'CANCELLED' AND deleted_at IS NULL", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_events_has_a_name")),
        sa.CheckConstraint(
            "status IN ('DRAFT', 'PUBLISHED', 'CANCELLED', 'FINISHED')",
            name=op.f("ck_events_status_is_known"),
        ),
        sa.CheckConstraint(
            "capacity_total BETWEEN 1 AND 1000000",
            name=op.f("ck_events_capacity_in_range"),
        ),
        sa.CheckConstraint(
            "confirmed_count BETWEEN 0 AND capacity_total",
            name=op.f("ck_events_confirmed_within_capacity"),
        ),
        sa.CheckConstraint("end_at > start_at", name=op.f("ck_events_ends_after_start")),
        sa.CheckConstraint(
            "registration_closes_at > registration_opens_at",
            name=op.f("ck_events_registration_closes_after_opening"),
        ),
        sa.CheckConstraint("waitlist_count >= 0", name=op.f("ck_events_waitlist_not_negative")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_events_created_by_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint(
            "id",
            "is_live",
            "start_at",
            "end_at",
            name=op.f("uq_events_id_is_live_start_at_end_at"),
        ),
    )
    op.create_index("ix_events_created_by", "events", ["created_by", "id"], unique=False)
    op.create_index(
        "ix_events_public_by_start",
        "events",
        ["start_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'PUBLISHED' AND deleted_at IS NULL"),
    )
    op.create_table(
        "speakers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("full_name", sa.String(length=255), nullable=False),
        sa.Column("headline", sa.String(length=255), nullable=True),
        sa.Column("bio", sa.Text(), nullable=True),
        sa.Column("company", sa.String(length=255), nullable=True),
        sa.Column("photo_url", sa.String(length=2048), nullable=True),
        sa.Column(
            "links",
            postgresql.ARRAY(sa.String(length=2048)),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("full_name <> ''", name=op.f("ck_speakers_has_a_name")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_speakers_created_by_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_speakers")),
    )
    op.create_index("ix_speakers_created_by", "speakers", ["created_by", "id"], unique=False)
    op.create_table(
        "event_speakers",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("speaker_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_event_speakers_event_id_events")),
        sa.ForeignKeyConstraint(
            ["speaker_id"],
            ["speakers.id"],
            name=op.f("fk_event_speakers_speaker_id_speakers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("event_id", "speaker_id", name=op.f("pk_event_speakers")),
    )
    op.create_index("ix_event_speakers_speaker_id", "event_speakers", ["speaker_id"], unique=False)
    op.create_table(
        "registrations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "CONFIRMED",
                "WAITLISTED",
                "CANCELLED",
                name="registrationstatus",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("ticket_code", sa.String(length=32), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('CONFIRMED', 'WAITLISTED', 'CANCELLED')",
            name=op.f("ck_registrations_status_is_known"),
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_registrations_event_id_events")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_registrations_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        sa.UniqueConstraint("ticket_code", name=op.f("uq_registrations_ticket_code")),
    )
    op.create_index(
        "ix_registrations_event_id_id",
        "registrations",
        ["event_id", "id"],
        unique=False,
    )
    op.create_index("ix_registrations_user_id_id", "registrations", ["user_id", "id"], unique=False)
    op.create_index(
        "ix_registrations_waitlist",
        "registrations",
        ["event_id", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'WAITLISTED'"),
    )
    op.create_index(
        "uq_registrations_live",
        "registrations",
        ["event_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'CANCELLED'"),
    )
    op.create_table(
        "rooms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column(
            "allow_parallel",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column(
            "seats",
            sa.Integer(),
            sa.Computed("COALESCE(capacity, 2147483647)", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_rooms_has_a_name")),
        sa.CheckConstraint("capacity > 0", name=op.f("ck_rooms_capacity_is_positive")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_rooms_event_id_events")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rooms")),
        sa.UniqueConstraint(
            "id",
            "event_id",
            "allow_parallel",
            "seats",
            name=op.f("uq_rooms_id_event_id_allow_parallel_seats"),
        ),
    )
    op.create_index(
        "uq_rooms_event_id_name",
        "rooms",
        ["event_id", sa.literal_column("lower(name)")],
        unique=True,
    )
    op.create_table(
        "team_members",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "OWNER",
                "MANAGER",
                "STAFF",
                name="teamrole",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column(
            "added_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('MANAGER', 'STAFF')", name=op.f("ck_team_members_role_is_known")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_team_members_event_id_events")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_team_members_user_id_users")),
        sa.PrimaryKeyConstraint("event_id", "user_id", name=op.f("pk_team_members")),
    )
    op.create_index("ix_team_members_user_id", "team_members", ["user_id", "event_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("event_is_live", sa.Boolean(), nullable=False),
        sa.Column("event_start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("room_id", sa.Integer(), nullable=True),
        sa.Column("room_parallel", sa.Boolean(), nullable=True),
        sa.Column("room_seats", sa.Integer(), nullable=True),
        sa.Column("capacity_total", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "during",
            postgresql.TSTZRANGE(),
            sa.Computed(
                "CASE WHEN deleted_at IS NULL AND event_is_live AND end_at > start_at"
                " THEN tstzrange(start_at, end_at, '[)') ELSE 'empty'::tstzrange END",
                persisted=True,
            ),
            nullable=False,
        ),
        postgresql.ExcludeConstraint(
            (sa.column("room_id"), "="),
            (sa.column("during"), "&&"),
            where=sa.text("NOT room_parallel"),
            deferrable="True",
            initially="IMMEDIATE",
            using="gist",
            name="ex_sessions_room_holds_one_session",
        ),
        sa.CheckConstraint("title <> ''", name=op.f("ck_sessions_has_a_title")),
        sa.CheckConstraint("capacity_total > 0", name=op.f("ck_sessions_capacity_is_positive")),
        sa.CheckConstraint(
            "deleted_at IS NOT NULL OR (start_at >= event_start_at AND end_at <= event_end_at)",
            name=op.f("ck_sessions_inside_its_event"),
        ),
        sa.CheckConstraint(
            "deleted_at IS NOT NULL OR capacity_total <= room_seats",
            name=op.f("ck_sessions_fits_in_its_room"),
        ),
        sa.CheckConstraint("end_at > start_at", name=op.f("ck_sessions_ends_after_start")),
        sa.CheckConstraint(
            "num_nulls(room_id, room_parallel, room_seats) IN (0, 3)",
            name=op.f("ck_sessions_room_is_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["event_id", "event_is_live", "event_start_at", "event_end_at"],
            ["events.id", "events.is_live", "events.start_at", "events.end_at"],
            name="fk_sessions_event_id_events",
            onupdate="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["room_id", "event_id", "room_parallel", "room_seats"],
            ["rooms.id", "rooms.event_id", "rooms.allow_parallel", "rooms.seats"],
            name="fk_sessions_room_id_rooms",
            onupdate="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("id", "during", name=op.f("uq_sessions_id_during")),
    )
    op.create_index(
        "ix_sessions_event_id_start_at",
        "sessions",
        ["event_id", "start_at"],
        unique=False,
    )
    op.create_index("ix_sessions_room_id", "sessions", ["room_id"], unique=False)
    op.create_table(
        "session_speakers",
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("speaker_id", sa.Integer(), nullable=False),
        sa.Column("during", postgresql.TSTZRANGE(), nullable=False),
        postgresql.ExcludeConstraint(
            (sa.column("speaker_id"), "="),
            (sa.column("during"), "&&"),
            deferrable="True",
            initially="IMMEDIATE",
            using="gist",
            name="ex_session_speakers_speaker_is_in_one_place",
        ),
        sa.ForeignKeyConstraint(
            ["session_id", "during"],
            ["sessions.id", "sessions.during"],
            name="fk_session_speakers_session_id_sessions",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["speaker_id"],
            ["speakers.id"],
            name=op.f("fk_session_speakers_speaker_id_speakers"),
        ),
        sa.PrimaryKeyConstraint("session_id", "speaker_id", name=op.f("pk_session_speakers")),
    )
    op.create_index(
        "ix_session_speakers_session_id_during",
        "session_speakers",
        ["session_id", "during"],
        unique=False,
    )
    op.execute(COUNT_PLACES)
    op.execute(REFUSE_COUNTER)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    for table in (
        "session_speakers",
        "sessions",
        "team_members",
        "rooms",
        "registrations",
        "event_speakers",
        "speakers",
        "events",
        "users",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION count_places()")
    op.execute("DROP FUNCTION refuse_counter()")
    op.execute("DROP EXTENSION btree_gist")
