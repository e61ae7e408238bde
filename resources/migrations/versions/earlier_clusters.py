"""What was accepted before clusters were kept is the first of a cluster each, so that what is near it is found."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    c = sa.table(
        "conversations",
        *(sa.column(name) for name in ("seq", "version", "side", "cluster")),
        sa.column("rejected", sa.Boolean),
    )
    earlier = (c.c.version.is_not(None), c.c.side.is_not(None), ~c.c.rejected, c.c.cluster.is_(None))
    op.execute(sa.update(c).where(*earlier).values(cluster=c.c.seq))
    # of no signature: the bands are made anew, from the texts of these too
    op.execute(sa.delete(sa.table("band_signature")))
