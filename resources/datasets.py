"""Dataset folders: two Parquet files and a manifest written last. Same conversations, same hash."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.manifest import Manifest


def write(
    folder: Path,
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    *,
    version: int,
    base_fingerprint: str,
    parent: int | None,
    units: Mapping[str, str],
    extra: Mapping[str, Any],
) -> Manifest:
    """Publish `folder` atomically; `units` maps a conversation id to its cluster (user or thread)."""
    raise NotImplementedError


def read_train(folder: Path) -> list[Conversation]:
    """The conversations to train on, in the order they were written."""
    raise NotImplementedError


def read_held_out(folder: Path) -> list[Conversation]:
    """The conversations kept out of training, in the order they were written."""
    raise NotImplementedError


def read_units(folder: Path) -> dict[str, str]:
    """Conversation id → cluster unit (user or thread), both sides; the cluster of PairedLoss.user."""
    raise NotImplementedError


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished folder; DatasetMissing where there is none."""
    raise NotImplementedError
