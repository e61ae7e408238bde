"""Which versions' files are still needed; what else there is may be removed."""

from resources.store import Store

LAST_VERSIONS = 5


def needed(store: Store) -> set[int]:
    """The champion, the one before, what is tried, pinned or to be measured, unfinished, and what that starts from."""
    champion, unfinished = store.champion.get(), store.versions.unfinished()
    found = {
        champion.n,
        champion.previous,
        *store.experiments.pinned(),
        *store.deployments.pinned(),
        *store.evaluations.versions_in_need(),
    }
    if unfinished:
        found |= {unfinished.n, unfinished.parent}
    return {n for n in found if n is not None}
