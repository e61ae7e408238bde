"""What of a model's names and tags the registry was told."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for name, start in (("changes", "1"), ("told", "0")):
        with op.batch_alter_table("models") as table:
            table.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default=start))
        with op.batch_alter_table("models") as table:
            table.alter_column(name, server_default=None)
