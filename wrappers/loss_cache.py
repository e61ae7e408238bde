"""Losses that were measured before: the same weights on the same rows are not measured twice."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from core.canonical import fingerprint_of
from core.rendering import Rendered
from wrappers.lora_model import WEIGHTS

# Files kept: each version leaves some six, and only the champion's and the base's are asked for again.
_KEPT = 60


class LossCache:
    """Small files named by the hash of everything the losses depend on; a damaged one is measured anew."""

    def __init__(self, folder: Path, base_fingerprint: str) -> None:
        self._folder = folder
        self._base_fingerprint = base_fingerprint

    def losses(
        self, adapter: Path | None, rows: int, rendered: Sequence[Rendered], measure: Callable[[], list[float]]
    ) -> list[float]:
        """The losses of `rendered` in rows of `rows` tokens under this adapter (None: the base)."""
        path = self._folder / f"{self._key(adapter, rows, rendered)}.json"
        found = _read(path, len(rendered))
        if found is None:
            found = measure()
            self._write(path, found)
        return found

    def _key(self, adapter: Path | None, rows: int, rendered: Sequence[Rendered]) -> str:
        weights = adapter and hashlib.sha256((adapter / WEIGHTS).read_bytes()).hexdigest()
        texts = [[list(conversation.input_ids), list(conversation.labels)] for conversation in rendered]
        return fingerprint_of([self._base_fingerprint, weights, rows, texts, version("torch"), version("transformers")])

    def _write(self, path: Path, losses: list[float]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = path.with_suffix(f".tmp-{os.getpid()}")
        staging.write_text(json.dumps(losses), encoding="utf-8")
        staging.rename(path)
        _asked_for(path)
        newest_last = sorted(self._folder.glob("*.json"), key=lambda kept: kept.stat().st_mtime)
        for old in newest_last[:-_KEPT]:
            old.unlink(missing_ok=True)


def _read(path: Path, count: int) -> list[float] | None:
    try:
        losses = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(losses, list) or len(losses) != count or not all(type(loss) is float for loss in losses):
        return None
    _asked_for(path)
    return losses


def _asked_for(path: Path) -> None:
    """The newest are kept; the kernel's own stamp is too coarse to tell which of two that is."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))
