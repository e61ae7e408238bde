"""Names, tags and scores of versions as models, and every change of champion."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _add_moves()
    _add_models()
    _add_benchmarks()
    op.create_index(
        "with_adapter",
        "versions",
        ["n", "state", "base_fingerprint", "adapter_sha256"],
        unique=False,
        sqlite_where=sa.text("adapter_sha256 IS NOT NULL"),
        postgresql_where=sa.text("adapter_sha256 IS NOT NULL"),
    )


def _add_moves() -> None:
    op.create_table(
        "champion_moves",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("lineage", sa.String(length=255), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("moved_by", sa.String(length=255), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["n"], ["versions.n"]),
        sa.ForeignKeyConstraint(["previous"], ["versions.n"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("moves_to", "champion_moves", ["n", "id"], unique=False)
    op.create_index("moves_from", "champion_moves", ["previous", "id"], unique=False)
    op.execute(
        "INSERT INTO champion_moves (lineage, n, previous, reason, moved_by, override, moved_at) "
        "SELECT lineage, n, previous, 'made before moves were kept', 'an earlier release', false, changed_at "
        "FROM champions WHERE changed_at IS NOT NULL"
    )


def _add_models() -> None:
    op.create_table(
        "models",
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["n"], ["versions.n"]),
        sa.PrimaryKeyConstraint("n"),
    )
    op.create_index("one_model_a_name", "models", ["model_name", "version"], unique=True)
    op.create_table(
        "model_tags",
        sa.Column("tag", sa.String(length=50), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["n"], ["models.n"]),
        sa.PrimaryKeyConstraint("tag", "n"),
    )
    op.create_index("tags_of_model", "model_tags", ["n"], unique=False)


def _add_benchmarks() -> None:
    op.create_table(
        "benchmarks",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("score >= 0 AND score <= 1", name="score_in_range"),
        sa.ForeignKeyConstraint(["n"], ["versions.n"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("benchmarks_of_model", "benchmarks", ["n", "name", "id"], unique=False)
    op.create_index("one_benchmark_a_key", "benchmarks", ["n", "idempotency_key"], unique=True)
