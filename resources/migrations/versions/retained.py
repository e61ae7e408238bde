"""How far contact data of old conversations is masked."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "retained",
        sa.Column("masked_to", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rules_version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("masked_to"),
    )
