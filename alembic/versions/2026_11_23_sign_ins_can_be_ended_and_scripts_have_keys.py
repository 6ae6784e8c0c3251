"""Sign-ins can be ended, and scripts have keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8d41c7e29b60"
down_revision: str | None = "9b1f4c7a2e60"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("family_digest", sa.LargeBinary(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_agent", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "octet_length(family_digest) = 32", name=op.f("ck_sign_ins_family_digest_is_sha256")
        ),
        sa.CheckConstraint(
            "octet_length(token_digest) = 32", name=op.f("ck_sign_ins_token_digest_is_sha256")
        ),
        sa.CheckConstraint(
            "created_at <= last_used_at AND last_used_at < expires_at",
            name=op.f("ck_sign_ins_times_in_order"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sign_ins_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("family_digest", name=op.f("uq_sign_ins_family_digest")),
    )
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"], unique=False)
    op.create_index("ix_sign_ins_expires_at", "sign_ins", ["expires_at"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.String(length=16)), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(key_digest) = 32", name=op.f("ck_api_keys_digest_is_sha256")),
        sa.CheckConstraint(
            "scopes <@ ARRAY['read', 'write', 'check-in']::varchar[] AND cardinality(scopes) > 0",
            name=op.f("ck_api_keys_scopes_are_known"),
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_api_keys_has_a_name")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_api_keys_ends_after_it_was_made")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_digest", name=op.f("uq_api_keys_key_digest")),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_table("api_keys")
    op.drop_table("sign_ins")
