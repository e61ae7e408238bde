"""The one writer of registry aliases: they follow the champion row, and a move from outside is a request."""

from resources.registry import Registry
from resources.store import Store


def reconcile(store: Store, registry: Registry) -> list[str]:
    """Bring production, previous and staging in line with the store; what was done, in sentences (empty: nothing)."""
    raise NotImplementedError
