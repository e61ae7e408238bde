"""raw_conversations: the version claims everything eligible that waits."""

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
        origins, users = store.versions.origins(claim.n), store.versions.users(claim.n)
        held = sum(number for _, _, number in origins)
        counts = store.conversations.counts()
        context.log.info("v%d, attempt %d, holds %d conversations", claim.n, claim.attempt, held)
    return dg.MaterializeResult(
        metadata={
            "version": claim.n,
            "attempt": claim.attempt,
            "conversations": held,
            "users": users,
            "captured_so_far": counts.total,
            "filtered_out_so_far": counts.filtered_out,
            "eligible_so_far": counts.eligible,
            "waiting_for_next_version": counts.waiting,
            "origin": dg.MetadataValue.md(table(["source", "provenance", "conversations"], origins)),
        }
    )
