"""What screening in pieces must find again: clusters, masked texts, and under which rules a version was screened."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MASKED = sa.text("masked_hash IS NOT NULL")


def upgrade() -> None:
    op.add_column("versions", sa.Column("screened_with", sa.JSON(), nullable=True))
    op.add_column("conversations", sa.Column("masked_hash", sa.String(length=64), nullable=True))
    op.create_index("by_cluster", "conversations", ["cluster", "side"])
    op.create_index("by_masked_hash", "conversations", ["masked_hash"], sqlite_where=MASKED, postgresql_where=MASKED)
