"""Experiments, who was exposed to which arm, and what came of each reply."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("lineage", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("design", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("running", sa.Boolean(), nullable=True),
        sa.Column("looks", sa.JSON(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=True),
        sa.Column("winner", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.String(length=255), nullable=True),
        sa.Column("staged", sa.Integer(), nullable=True),
        sa.Column("staged_against", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('draft','running','stopped','completed')", name="known_status"),
        sa.CheckConstraint(
            "(status = 'running' AND running IS NOT NULL AND running) OR (status <> 'running' AND running IS NULL)",
            name="running_is_true_or_null",
        ),
        sa.ForeignKeyConstraint(["staged"], ["versions.n"]),
        sa.ForeignKeyConstraint(["staged_against"], ["versions.n"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("one_running", "experiments", ["lineage", "running"], unique=True)
    op.create_table(
        "exposures",
        sa.Column("experiment", SERIAL, autoincrement=False, nullable=False),
        sa.Column("unit", sa.String(length=512), nullable=False),
        sa.Column("arm", sa.String(length=32), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment", "unit"),
    )
    op.create_index("exposures_of_unit", "exposures", ["unit"], unique=False)
    op.create_table(
        "experiment_logs",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("experiment", SERIAL, nullable=False),
        sa.Column("unit", sa.String(length=512), nullable=False),
        sa.Column("arm", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("session_id", sa.String(length=255), nullable=True),
        sa.Column("conversation_id", sa.String(length=255), nullable=True),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="rating_in_range"),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("logs_of_experiment", "experiment_logs", ["experiment", "id"], unique=False)
    op.create_index("logs_of_unit", "experiment_logs", ["unit"], unique=False)
    op.create_index("one_log_a_reply", "experiment_logs", ["experiment", "conversation_id"], unique=True)
