"""Follows the champion in the store and makes the engine serve it."""

from pathlib import Path

from resources.store import Store
from serve.engine_client import EngineClient


class UnknownModel(Exception):
    """A model name that is neither `production`, `base` nor a version this lineage has on disk."""


class ChampionFollower:
    """Polls the champion; `current` is the concrete name behind `production` and changes by one assignment."""

    current: str = "base"

    def __init__(
        self, store: Store, engine: EngineClient, *, state_dir: Path, lineage: str, interval_seconds: float = 0.5
    ) -> None: ...

    async def run(self) -> None:
        """Follow until cancelled. The ingress starts it as one task."""

    async def resolve(self, model: str) -> str:
        """The concrete name (`base`, `v3`) behind `model`, loaded on demand. Raises UnknownModel, AdapterNotServed."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Every name `resolve` accepts, for `/v1/models`."""
        raise NotImplementedError
