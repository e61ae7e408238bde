"""What screening finds of a conversation, beside its findings; who released one that was held back."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("conversations", sa.Column("cluster", BIG, nullable=True))
    op.add_column("conversations", sa.Column("tokens", sa.Integer(), nullable=True))
    op.add_column("conversations", sa.Column("language", sa.String(length=8), nullable=True))
    op.add_column("conversations", sa.Column("quality", sa.Float(), nullable=True))
    op.add_column("conversations", sa.Column("quality_parts", sa.JSON(), nullable=True))
    op.add_column("conversations", sa.Column("personal", sa.JSON(), nullable=True))
    op.add_column("conversations", sa.Column("released_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversations", sa.Column("released_by", sa.String(length=255), nullable=True))
