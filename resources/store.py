"""The conversation store: the truth of what was captured, claimed, trained and decided."""

from core.live_settings import LiveSettings
from resources.champions import Champions
from resources.conversations import Conversations
from resources.events import Events, Outbox
from resources.progress import ProgressLog
from resources.setting_store import Pause, SettingStore
from resources.store_errors import (
    AttemptsExhausted,
    CaptureFull,
    Fenced,
    NotAllowed,
    NotFound,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
    VersionBusy,
    VersionStopped,
)
from resources.triggers import Triggers
from resources.versions import Versions

__all__ = [
    "AttemptsExhausted",
    "CaptureFull",
    "Fenced",
    "NotAllowed",
    "NotFound",
    "SchemaTooNew",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "VersionBusy",
    "VersionStopped",
    "open_store",
]


class Store:
    """Every method of its parts is one transaction, and raises StoreUnavailable when the database does not answer."""

    conversations: Conversations
    versions: Versions
    triggers: Triggers
    progress: ProgressLog
    champion: Champions
    events: Events
    outbox: Outbox
    settings: SettingStore
    pause: Pause

    def __init__(self, url: str, *, live_defaults: LiveSettings, lineage: str = "") -> None:
        raise NotImplementedError

    def size_bytes(self) -> int:
        """What the database takes on disk."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def open_store(url: str, *, live_defaults: LiveSettings, lineage: str = "") -> Store:
    """A store with its schema brought up to date; SchemaTooNew when a newer release wrote it."""
    raise NotImplementedError
