"""The validation loss beside the steps after which it was measured."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    with op.batch_alter_table("progress") as table:
        table.add_column(sa.Column("validation_loss", sa.Float()))
