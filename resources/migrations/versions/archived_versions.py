"""Since when a version is archived; whoever was champion before and is none now, is archived since it ended."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("versions", sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE versions SET archived_at = COALESCE(finished_at, created_at) WHERE state = 'promoted' "
        "AND n NOT IN (SELECT n FROM champions WHERE n IS NOT NULL) "
        "AND n NOT IN (SELECT staged FROM experiments WHERE staged IS NOT NULL)"
    )
