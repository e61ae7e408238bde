"""raw_conversations: the version claims everything eligible that waits."""

from collections import Counter

import dagster as dg

from assets.step import POOL, step
from resources.report import table
from resources.settings import Settings
from resources.store import Store


@dg.asset(pool=POOL, group_name="loop", kinds={"sqlite"})
def raw_conversations(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The conversations this version is made of: all that were eligible and in no version when it began."""
    with step(context, store, settings, begins=True) as claim:
        rows = [stored.conversation for stored in store.versions.rows(claim.n)]
        counts = store.conversations.counts()
        context.log.info("v%d, attempt %d, holds %d conversations", claim.n, claim.attempt, len(rows))
    by_origin = Counter((c.source, c.provenance) for c in rows)
    origins = [[source, provenance, n] for (source, provenance), n in by_origin.most_common()]
    return dg.MaterializeResult(
        metadata={
            "version": claim.n,
            "attempt": claim.attempt,
            "conversations": len(rows),
            "users": len({c.user_id for c in rows if c.user_id}),
            "captured_so_far": counts.total,
            "filtered_out_so_far": counts.filtered_out,
            "eligible_so_far": counts.eligible,
            "waiting_for_next_version": counts.waiting,
            "origin": dg.MetadataValue.md(table(["source", "provenance", "conversations"], origins)),
        }
    )
