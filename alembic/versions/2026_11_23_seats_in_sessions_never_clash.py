"""Seats in sessions never clash."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "3c0a5d8e1f47"
down_revision: str | None = "1ea8f6a97e98"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WITH_GUID = ("events", "sessions", "speakers")
WITH_VERSION = ("events", "rooms", "sessions", "speakers")

# Where rows are compared it is by EXCEPT and not by a join: the plan is kept, made for as many rows as the
# first statement had.
CHECK_SEATS = """
CREATE FUNCTION check_seats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    users integer[];
    events integer[];
    stranger integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(user_id), array_agg(event_id) INTO users, events
        FROM (SELECT DISTINCT user_id, event_id FROM new_rows WHERE given_up_at IS NULL) AS taken;
    ELSE
        SELECT array_agg(user_id), array_agg(event_id) INTO users, events
        FROM (
            SELECT user_id, event_id FROM new_rows WHERE given_up_at IS NULL
            EXCEPT
            SELECT user_id, event_id FROM old_rows WHERE given_up_at IS NULL
        ) AS taken;
    END IF;
    IF users IS NULL THEN
        RETURN NULL;
    END IF;
    -- FOR KEY SHARE would let a cancellation through: the status is in no key. With FOR SHARE, either it
    -- waits for this seat, sees it and gives it up; or this waits for it, and looks at the row again.
    WITH held AS (
        SELECT user_id, event_id
        FROM registrations JOIN unnest(users, events) AS taken (user_id, event_id) USING (user_id, event_id)
        WHERE status = 'CONFIRMED' ORDER BY id FOR SHARE OF registrations
    )
    SELECT user_id INTO stranger
    FROM (SELECT * FROM unnest(users, events) EXCEPT SELECT * FROM held) AS missing (user_id, event_id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'user % has no confirmed registration for the event of the session', stranger
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_seats_holder_is_registered';
    END IF;
    RETURN NULL;
END
$$
"""

# As registrations are counted: one update per session for each statement, in the order of their ids. A
# session that moves rewrites all of its seats and changes no count; it must cost no update here.
COUNT_SEATS = """
CREATE FUNCTION count_seats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids integer[];
    counts bigint[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE sessions SET seats_taken = 0 WHERE seats_taken <> 0;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        SELECT array_agg(session_id), array_agg(seats) INTO ids, counts FROM (
            SELECT session_id, count(*) AS seats FROM new_rows WHERE given_up_at IS NULL GROUP BY session_id
        ) AS change;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(session_id), array_agg(-seats) INTO ids, counts FROM (
            SELECT session_id, count(*) AS seats FROM old_rows WHERE given_up_at IS NULL GROUP BY session_id
        ) AS change;
    ELSE
        SELECT array_agg(session_id), array_agg(seats) INTO ids, counts FROM (
            SELECT session_id, sum(sign) AS seats
            FROM (
                SELECT session_id, 1 AS sign FROM new_rows WHERE given_up_at IS NULL
                UNION ALL
                SELECT session_id, -1 FROM old_rows WHERE given_up_at IS NULL
            ) AS moves
            GROUP BY session_id HAVING sum(sign) <> 0
        ) AS change;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM FROM sessions WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE;
        UPDATE sessions SET seats_taken = seats_taken + change.seats
        FROM unnest(ids, counts) AS change (session_id, seats) WHERE id = change.session_id;
    END IF;
    RETURN NULL;
END
$$
"""

# Who loses a place at an event loses the seats there. A check-in or a promotion finds nobody and goes on.
GIVE_UP_SEATS = """
CREATE FUNCTION give_up_seats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    users integer[];
    events integer[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE seats SET given_up_at = now() WHERE given_up_at IS NULL;
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(user_id), array_agg(event_id) INTO users, events
        FROM old_rows WHERE status = 'CONFIRMED';
    ELSE
        SELECT array_agg(user_id), array_agg(event_id) INTO users, events
        FROM (
            SELECT user_id, event_id FROM old_rows WHERE status = 'CONFIRMED'
            EXCEPT
            SELECT user_id, event_id FROM new_rows WHERE status = 'CONFIRMED'
        ) AS lost;
    END IF;
    IF users IS NOT NULL THEN
        -- The sessions before their seats, as whoever moves a session locks them.
        PERFORM FROM sessions WHERE id IN (
            SELECT session_id
            FROM seats JOIN unnest(users, events) AS lost (user_id, event_id) USING (user_id, event_id)
            WHERE given_up_at IS NULL
        ) ORDER BY id FOR NO KEY UPDATE;
        UPDATE seats SET given_up_at = now() FROM unnest(users, events) AS lost (user_id, event_id)
        WHERE seats.user_id = lost.user_id AND seats.event_id = lost.event_id AND given_up_at IS NULL;
    END IF;
    RETURN NULL;
END
$$
"""

CLEAR_SESSION = """
CREATE FUNCTION clear_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE seats SET given_up_at = now() WHERE session_id = NEW.id AND given_up_at IS NULL;
    RETURN NULL;
END
$$
"""

REFUSE_SEAT_COUNTER = """
CREATE FUNCTION refuse_seat_counter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the counter of session % follows its seats and is not written by hand', NEW.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_sessions_counter_follows_seats';
END
$$
"""

FUNCTIONS = (CHECK_SEATS, COUNT_SEATS, GIVE_UP_SEATS, CLEAR_SESSION, REFUSE_SEAT_COUNTER)

# Those of one table and one event run in the order of their names: the registrations are locked before the
# sessions, whose turn comes after the event's everywhere.
TRIGGERS = (
    """
    CREATE TRIGGER seats_check_inserted AFTER INSERT ON seats
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION check_seats()
    """,
    """
    CREATE TRIGGER seats_check_updated AFTER UPDATE ON seats
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION check_seats()
    """,
    """
    CREATE TRIGGER seats_count_inserted AFTER INSERT ON seats
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_seats()
    """,
    """
    CREATE TRIGGER seats_count_updated AFTER UPDATE ON seats
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_seats()
    """,
    """
    CREATE TRIGGER seats_count_deleted AFTER DELETE ON seats
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_seats()
    """,
    """
    CREATE TRIGGER seats_count_truncated AFTER TRUNCATE ON seats
    FOR EACH STATEMENT EXECUTE FUNCTION count_seats()
    """,
    """
    CREATE TRIGGER sessions_guard_counter_on_insert BEFORE INSERT ON sessions FOR EACH ROW
    WHEN (NEW.seats_taken <> 0) EXECUTE FUNCTION refuse_seat_counter()
    """,
    # After the update, as with the counters of events: `during` is generated, and in a key.
    """
    CREATE TRIGGER sessions_guard_counter_on_update AFTER UPDATE ON sessions FOR EACH ROW
    WHEN (pg_trigger_depth() = 0 AND OLD.seats_taken <> NEW.seats_taken)
    EXECUTE FUNCTION refuse_seat_counter()
    """,
    # For each row, since a statement's trigger would run with each seat that is counted. It runs after the
    # cascades, whose names begin with a capital: a seat is given up at the time that its session has by then.
    """
    CREATE TRIGGER sessions_clear_deleted AFTER UPDATE ON sessions FOR EACH ROW
    WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION clear_session()
    """,
)

TRIGGERS_ON_REGISTRATIONS = {
    "registrations_give_up_seats_updated": """
    CREATE TRIGGER registrations_give_up_seats_updated AFTER UPDATE ON registrations
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION give_up_seats()
    """,
    "registrations_give_up_seats_deleted": """
    CREATE TRIGGER registrations_give_up_seats_deleted AFTER DELETE ON registrations
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION give_up_seats()
    """,
    "registrations_give_up_seats_truncated": """
    CREATE TRIGGER registrations_give_up_seats_truncated AFTER TRUNCATE ON registrations
    FOR EACH STATEMENT EXECUTE FUNCTION give_up_seats()
    """,
}


def upgrade() -> None:
    for table in WITH_GUID:
        op.add_column(
            table,
            sa.Column("guid", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        )
    for table in WITH_VERSION:
        op.add_column(table, sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column(
        "sessions", sa.Column("seats_taken", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_unique_constraint(op.f("uq_sessions_event_id_guid"), "sessions", ["event_id", "guid"])
    op.create_unique_constraint(
        op.f("uq_sessions_id_event_id_during"), "sessions", ["id", "event_id", "during"]
    )
    op.create_check_constraint(
        op.f("ck_sessions_seats_within_capacity"),
        "sessions",
        "seats_taken >= 0"
        " AND (deleted_at IS NOT NULL OR seats_taken <= COALESCE(capacity_total, room_seats))",
    )
    op.create_table(
        "seats",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("during", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True),
        postgresql.ExcludeConstraint(
            (sa.column("user_id"), "="),
            (sa.column("during"), "&&"),
            where=sa.text("given_up_at IS NULL"),
            deferrable=True,
            initially="IMMEDIATE",
            using="gist",
            name="ex_seats_attendee_is_in_one_place",
        ),
        sa.ForeignKeyConstraint(
            ["session_id", "event_id", "during"],
            ["sessions.id", "sessions.event_id", "sessions.during"],
            name="fk_seats_session_id_sessions",
            onupdate="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_seats_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seats")),
    )
    op.create_index("ix_seats_session_id_id", "seats", ["session_id", "id"], unique=False)
    op.create_index(
        "ix_seats_held",
        "seats",
        ["user_id", "event_id"],
        unique=False,
        postgresql_where=sa.text("given_up_at IS NULL"),
    )
    op.create_index(
        "uq_seats_held",
        "seats",
        ["session_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("given_up_at IS NULL"),
    )
    op.create_table(
        "calendar_feeds",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "octet_length(token_digest) = 32", name=op.f("ck_calendar_feeds_digest_is_sha256")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_calendar_feeds_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_calendar_feeds")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_calendar_feeds_token_digest")),
    )
    for function in FUNCTIONS:
        op.execute(function)
    for trigger in (*TRIGGERS, *TRIGGERS_ON_REGISTRATIONS.values()):
        op.execute(trigger)


def downgrade() -> None:
    for trigger in TRIGGERS_ON_REGISTRATIONS:
        op.execute(f"DROP TRIGGER {trigger} ON registrations")
    for trigger in (
        "sessions_guard_counter_on_insert",
        "sessions_guard_counter_on_update",
        "sessions_clear_deleted",
    ):
        op.execute(f"DROP TRIGGER {trigger} ON sessions")
    op.drop_table("calendar_feeds")
    op.drop_table("seats")
    for function in ("check_seats", "count_seats", "give_up_seats", "clear_session", "refuse_seat_counter"):
        op.execute(f"DROP FUNCTION {function}()")
    op.drop_constraint("ck_sessions_seats_within_capacity", "sessions")
    op.drop_constraint("uq_sessions_id_event_id_during", "sessions")
    op.drop_constraint("uq_sessions_event_id_guid", "sessions")
    op.drop_column("sessions", "seats_taken")
    for table in WITH_VERSION:
        op.drop_column(table, "version")
    for table in WITH_GUID:
        op.drop_column(table, "guid")
