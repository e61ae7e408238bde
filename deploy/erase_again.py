"""A restored backup brings back whom it still holds: erasures done since it was made are done again."""

from collections.abc import Sequence

from sqlalchemy import Connection, inspect

from resources.erasing import erase_again, places_of
from resources.erasure_rows import Past
from resources.settings import Settings
from resources.store import Store, open_store
from resources.tables import erasures


def remembered(settings: Settings) -> list[Past]:
    """Every erasure that the store in use knows of; StoreUnavailable where it cannot be read."""
    store = Store(settings.database_url, live_defaults=settings.live())
    try:
        if store.database.path and not store.database.path.exists():
            return []
        return store.erasures.past() if store.database.read(_has_erasures) else []
    finally:
        store.close()


def erase_since(settings: Settings, past: Sequence[Past]) -> int:
    """Erase from what was restored all who are not erased there yet; how many people."""
    if not past:
        return 0
    store = open_store(settings.database_url, live_defaults=settings.live())
    try:
        return erase_again(store, places_of(store, settings.state_dir), past)
    finally:
        store.close()


def _has_erasures(connection: Connection) -> bool:
    return inspect(connection).has_table(erasures.name)
