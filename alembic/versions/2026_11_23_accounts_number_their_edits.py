"""Accounts number their edits."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c7d20f4b81ae"
down_revision: str | None = "9b1f6e3d27c4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("users", sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))


def downgrade() -> None:
    op.drop_column("users", "version")
