"""The conversation store: the truth of what was captured, claimed, trained and decided."""

import socket

from core.live_settings import LiveSettings
from core.pseudonyms import Pseudonyms
from core.scheduling import MAX_ATTEMPTS
from resources import knocking
from resources.champions import Champions
from resources.conversations import Conversations
from resources.database import Database
from resources.deployments import Deployments
from resources.erasure_rows import Erasures
from resources.evaluations import Evaluations
from resources.events import Events, Outbox
from resources.experiments import Experiments
from resources.jobs import Jobs
from resources.models import Models
from resources.progress import ProgressLog
from resources.pseudonyms import pseudonyms_of
from resources.retention import Retention
from resources.reviews import Reviews
from resources.schema import migrate
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
from resources.uploads import Uploads
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

    def __init__(
        self,
        url: str,
        *,
        live_defaults: LiveSettings,
        lineage: str = "",
        busy_seconds: float = 30.0,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        self.database = Database(url, busy_seconds=busy_seconds)
        self.lineage = lineage
        self.conversations = Conversations(self.database)
        self.settings = SettingStore(self.database, live_defaults)
        self.pause = Pause(self.database)
        self.versions = Versions(self.database, self.settings, lineage, max_attempts)
        self.jobs = Jobs(self.database, self.settings, lineage)
        self.triggers = Triggers(self.database)
        self.progress = ProgressLog(self.database)
        self.champion = Champions(self.database, lineage)
        self.experiments = Experiments(self.database, lineage)
        self.models = Models(self.database, lineage)
        self.evaluations = Evaluations(self.database, lineage)
        self.deployments = Deployments(self.database, lineage)
        self.events = Events(self.database)
        self.outbox = Outbox(self.database, self.settings)
        self.uploads = Uploads(self.database)
        self.erasures = Erasures(self.database)
        self.retention = Retention(self.database)
        self.reviews = Reviews(self.database)

    def pseudonyms(self) -> Pseudonyms:
        """What files call people and threads instead of their names."""
        return pseudonyms_of(self.database)

    def size_bytes(self) -> int:
        """What the database takes on disk."""
        return self.database.size_bytes()

    def listen(self) -> socket.socket | None:
        """Readable when champion or experiment changed on this machine: see resources.knocking."""
        return knocking.listen(self.database.url)

    def close(self) -> None:
        self.database.close()


def open_store(
    url: str,
    *,
    live_defaults: LiveSettings,
    lineage: str = "",
    busy_seconds: float = 30.0,
    max_attempts: int = MAX_ATTEMPTS,
) -> Store:
    """A store with its schema brought up to date; SchemaTooNew when a newer release wrote it."""
    store = Store(
        url, live_defaults=live_defaults, lineage=lineage, busy_seconds=busy_seconds, max_attempts=max_attempts
    )
    try:
        migrate(store.database)
    except BaseException:
        store.close()
        raise
    return store
