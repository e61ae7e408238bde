"""Versions that are evaluated again: what was asked, how far it is, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("upload", SERIAL, nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("compared_with", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('waiting','running','done','failed')", name="known_evaluation"),
        sa.ForeignKeyConstraint(["n"], ["versions.n"]),
        sa.ForeignKeyConstraint(["upload"], ["uploads.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("evaluations_of_model", "evaluations", ["n", "id"], unique=False)
    op.create_index("evaluations_by_state", "evaluations", ["state", "id"], unique=False)
    op.create_index("one_evaluation_a_key", "evaluations", ["n", "idempotency_key"], unique=True)
