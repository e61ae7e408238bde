"""Versions that a person wants held in every engine."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "pins",
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["n"], ["versions.n"]),
        sa.PrimaryKeyConstraint("n"),
    )
