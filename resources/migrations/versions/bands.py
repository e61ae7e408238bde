"""The bands that near-duplicates are found by."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "bands",
        sa.Column("hash", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", SERIAL, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("hash", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "band_runs",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("members", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "band_signature",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
