"""The model registry: one registered model, one registry version for each of ours, aliases over them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path


class RegistryUnavailable(RuntimeError):
    """The registry cannot be reached, or its file is gone."""


class Registry(ABC):
    """What the graph and the alias reconciler need of a registry; `n` is our version number."""

    @abstractmethod
    def available(self) -> bool:
        """Whether it answers now. Never creates anything."""

    @abstractmethod
    def register(self, n: int, adapter_dir: Path, run_id: str | None, tags: Mapping[str, str], report: Path | None) -> str:
        """The registry's own version number for `n`; registering twice gives the same."""

    @abstractmethod
    def registered(self, n: int) -> str | None:
        """The registry's own version number for `n`, or None when it is not registered."""

    @abstractmethod
    def alias(self, name: str) -> int | None:
        """Our version number behind an alias; None when the alias is not set."""

    @abstractmethod
    def set_alias(self, name: str, n: int | None) -> None:
        """Point an alias at version `n`; None removes it. LookupError when `n` is not registered."""
