"""Which alias is being written, so that a crash in between is not taken for somebody else's move."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("champions", sa.Column("alias_intended", sa.Integer(), nullable=True))
    op.execute("UPDATE champions SET alias_intended = alias_confirmed")
