"""Events are found by their words."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "9b1f6e3d27c4"
down_revision: str | None = "3c0a5d8e1f47"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

PUBLIC = "status = 'PUBLISHED' AND deleted_at IS NULL"

# Written as RETURN and not as text, a body is understood once, here: it means the same whatever the
# search_path, as in a restore, and the extension cannot be dropped from under it. So it may be called
# immutable, which unaccent by itself is not, since its rules are a file that an operator could change.
FOLD = """
CREATE FUNCTION fold(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(unaccent('unaccent'::regdictionary, value))
"""

# A run of letters and digits is a word. So is each sign, except those that only separate, so that a search
# for "100%" means the sign. The length is bounded because signs may unfold into several letters, and neither
# a tsvector nor an index takes words of any length.
WORDS_OF = r"""
CREATE FUNCTION words_of(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_tsvector(array_remove(regexp_split_to_array(
    regexp_replace(left(fold(value), 500), '([^[:alnum:][:space:]])', ' \1 ', 'g'),
    '[[:space:],.;:!?()"''-]+'
), ''))
"""

STEMS_OF = """
CREATE FUNCTION stems_of(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN strip(to_tsvector('spanish', fold(value)) || to_tsvector('english', fold(value)))
"""

# In the order of the alphabet, so that two who write the same new words do not wait in a circle.
LEARN_WORDS = """
CREATE FUNCTION learn_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO event_words
        SELECT DISTINCT word
        FROM new_rows, unnest(tsvector_to_array(name_words || COALESCE(venue_words, ''))) AS word
        ORDER BY word ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO event_words
        SELECT word FROM unnest(tsvector_to_array(NEW.name_words || COALESCE(NEW.venue_words, ''))) AS word
        ORDER BY word ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""

# One row for all would have everybody who makes an event wait for everybody else's commit. A connection
# always takes the same row, and takes it last, so nobody waits in a circle.
COUNT_EVENTS = """
CREATE FUNCTION count_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM event_counts;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO change FROM new_rows WHERE status = 'PUBLISHED' AND deleted_at IS NULL;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT -count(*) INTO change FROM old_rows WHERE status = 'PUBLISHED' AND deleted_at IS NULL;
    ELSE
        change := CASE WHEN NEW.status = 'PUBLISHED' AND NEW.deleted_at IS NULL THEN 1 ELSE -1 END;
    END IF;
    IF change <> 0 THEN
        INSERT INTO event_counts (shard, published) VALUES (pg_backend_pid() % 32, change)
        ON CONFLICT (shard) DO UPDATE SET published = event_counts.published + EXCLUDED.published;
    END IF;
    RETURN NULL;
END
$$
"""

# For each row where a statement's trigger would run with each place that is sold.
TRIGGERS = {
    "events_learn_inserted": """
    CREATE TRIGGER events_learn_inserted AFTER INSERT ON events
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION learn_words()
    """,
    "events_learn_updated": """
    CREATE TRIGGER events_learn_updated AFTER UPDATE ON events FOR EACH ROW
    WHEN (OLD.name <> NEW.name OR OLD.venue IS DISTINCT FROM NEW.venue) EXECUTE FUNCTION learn_words()
    """,
    "events_count_inserted": """
    CREATE TRIGGER events_count_inserted AFTER INSERT ON events
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_events()
    """,
    "events_count_updated": """
    CREATE TRIGGER events_count_updated AFTER UPDATE ON events FOR EACH ROW
    WHEN (
        (OLD.status = 'PUBLISHED' AND OLD.deleted_at IS NULL)
        <> (NEW.status = 'PUBLISHED' AND NEW.deleted_at IS NULL)
    ) EXECUTE FUNCTION count_events()
    """,
    "events_count_deleted": """
    CREATE TRIGGER events_count_deleted AFTER DELETE ON events
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_events()
    """,
    "events_count_truncated": """
    CREATE TRIGGER events_count_truncated AFTER TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION count_events()
    """,
}

COMPUTED: dict[str, tuple[sa.types.TypeEngine[Any], str, bool]] = {
    "has_places": (sa.Boolean(), "confirmed_count < capacity_total", False),
    "name_words": (postgresql.TSVECTOR(), "words_of(name)", False),
    "venue_words": (postgresql.TSVECTOR(), "words_of(venue)", True),
    "description_stems": (postgresql.TSVECTOR(), "stems_of(description)", True),
}

BY_KEY = {
    "ix_events_public_by_name": ["name", "id"],
    "ix_events_public_by_creation": ["created_at", "id"],
    "ix_events_public_by_organizer": ["created_by", "start_at", "id"],
    "ix_events_public_by_places": ["has_places", "start_at", "id"],
}

BY_WORD: dict[str, str] = {
    "ix_events_public_name_words": "name_words",
    "ix_events_public_venue_words": "venue_words",
    "ix_events_public_description_stems": "description_stems",
    "ix_events_public_all_words": (
        "((name_words || COALESCE(venue_words, ''::tsvector)) || COALESCE(description_stems, ''::tsvector))"
    ),
}


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for function in (FOLD, WORDS_OF, STEMS_OF):
        op.execute(function)
    for name, (kind, expression, nullable) in COMPUTED.items():
        computed = sa.Computed(expression, persisted=True)
        op.add_column("events", sa.Column(name, kind, computed, nullable=nullable))
    for name, columns in BY_KEY.items():
        op.create_index(name, "events", columns, unique=False, postgresql_where=sa.text(PUBLIC))
    for name, words in BY_WORD.items():
        op.create_index(
            name,
            "events",
            [sa.text(words)],
            unique=False,
            postgresql_where=sa.text(PUBLIC),
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        )
    op.create_index(
        "ix_events_public_during",
        "events",
        [sa.text("tstzrange(start_at, end_at)")],
        unique=False,
        postgresql_where=sa.text(PUBLIC),
        postgresql_using="gist",
    )
    op.create_table(
        "event_words",
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_event_words")),
    )
    op.create_index(
        "ix_event_words_trigrams",
        "event_words",
        ["word"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
        postgresql_with={"fastupdate": "off"},
    )
    op.create_table(
        "event_counts",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_event_counts")),
    )
    op.execute(
        "INSERT INTO event_words SELECT DISTINCT word"
        " FROM events, unnest(tsvector_to_array(name_words || COALESCE(venue_words, ''))) AS word"
    )
    op.execute(
        "INSERT INTO event_counts SELECT 0, count(*)"
        " FROM events WHERE status = 'PUBLISHED' AND deleted_at IS NULL"
    )
    for function in (LEARN_WORDS, COUNT_EVENTS):
        op.execute(function)
    for trigger in TRIGGERS.values():
        op.execute(trigger)


def downgrade() -> None:
    for trigger in TRIGGERS:
        op.execute(f"DROP TRIGGER {trigger} ON events")
    for function in ("learn_words()", "count_events()"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("event_counts")
    op.drop_table("event_words")
    op.drop_index("ix_events_public_during", table_name="events")
    for index in (*BY_WORD, *BY_KEY):
        op.drop_index(index, table_name="events")
    for column in COMPUTED:
        op.drop_column("events", column)
    for function in ("stems_of(text)", "words_of(text)", "fold(text)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP EXTENSION pg_trgm")
    op.execute("DROP EXTENSION unaccent")
