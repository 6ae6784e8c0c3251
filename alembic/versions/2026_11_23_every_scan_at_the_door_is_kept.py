"""Every scan at the door is kept."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "1ea8f6a97e98"
down_revision: str | None = "e50e02014c5c"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

VERDICTS = (
    "checked-in",
    "already-checked-in",
    "unknown-ticket",
    "ticket-cancelled",
    "ticket-not-confirmed",
)


def upgrade() -> None:
    op.create_table(
        "scans",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("registration_id", sa.Integer(), nullable=True),
        sa.Column("ticket_code", sa.String(length=1_000), nullable=False),
        sa.Column(
            "verdict", sa.Enum(*VERDICTS, name="verdict", native_enum=False, length=32), nullable=False
        ),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("client_id", sa.String(length=100), nullable=True),
        sa.Column("scanned_by", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(f"verdict IN {VERDICTS}", name=op.f("ck_scans_verdict_is_known")),
        sa.CheckConstraint(
            "(registration_id IS NULL) = (verdict = 'unknown-ticket')",
            name=op.f("ck_scans_known_ticket_has_a_registration"),
        ),
        sa.CheckConstraint(
            "(checked_in_at IS NOT NULL) = (verdict IN ('checked-in', 'already-checked-in'))",
            name=op.f("ck_scans_verdict_says_who_is_in"),
        ),
        sa.CheckConstraint(
            "checked_in_at <= scanned_at",
            name=op.f("ck_scans_earliest_scan_is_the_check_in"),
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_scans_event_id_events")),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.id"],
            name=op.f("fk_scans_registration_id_registrations"),
        ),
        sa.ForeignKeyConstraint(["scanned_by"], ["users.id"], name=op.f("fk_scans_scanned_by_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scans")),
        sa.UniqueConstraint(
            "event_id",
            "scanned_by",
            "client_id",
            name=op.f("uq_scans_event_id_scanned_by_client_id"),
        ),
    )
    op.create_index("ix_scans_event_id_id", "scans", ["event_id", "id"], unique=False)
    op.create_index(
        "uq_scans_check_in",
        "scans",
        ["registration_id"],
        unique=True,
        postgresql_where=sa.text("verdict = 'checked-in'"),
    )


def downgrade() -> None:
    op.drop_table("scans")
