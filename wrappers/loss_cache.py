"""What was measured before: the same weights on the same rows, or after the same prompts, are not asked twice."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from core.canonical import fingerprint_of
from core.rendering import Rendered

Kind = TypeVar("Kind", float, str)

# Files kept: each version leaves some fifteen, and only the champion's and the base's are asked for again.
_KEPT = 150


class LossCache:
    """Small files named by the hash of everything the losses depend on; a damaged one is measured anew."""

    def __init__(self, folder: Path, base_fingerprint: str) -> None:
        self._folder = folder
        self._base_fingerprint = base_fingerprint

    def losses(
        self, adapter: Path | None, rows: int, rendered: Sequence[Rendered], measure: Callable[[], list[float]]
    ) -> list[float]:
        """The losses of `rendered` in rows of `rows` tokens under this adapter (None: the base)."""
        texts = [[list(conversation.input_ids), list(conversation.labels)] for conversation in rendered]
        return self._kept(self._key(adapter, rows, texts), len(rendered), float, measure)

    def answers(
        self,
        adapter: Path | None,
        most_tokens: int,
        prompts: Sequence[Sequence[int]],
        measure: Callable[[], list[str]],
    ) -> list[str]:
        """The greedy answers of at most that many tokens to `prompts` under this adapter (None: the base)."""
        key = self._key(adapter, most_tokens, ["answers", *map(list, prompts)])
        return self._kept(key, len(prompts), str, measure)

    def _kept(self, key: str, count: int, kind: type[Kind], measure: Callable[[], list[Kind]]) -> list[Kind]:
        path = self._folder / f"{key}.json"
        found = _read(path, count, kind)
        if found is None:
            found = measure()
            self._write(path, found)
        return found

    def _key(self, adapter: Path | None, size: int, asked: Sequence[Any]) -> str:
        weights = adapter and _sha256(adapter)
        return fingerprint_of([self._base_fingerprint, weights, size, asked, version("torch"), version("transformers")])

    def _write(self, path: Path, measured: Sequence[float | str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = path.with_suffix(f".tmp-{os.getpid()}")
        staging.write_text(json.dumps(measured), encoding="utf-8")
        staging.rename(path)
        _asked_for(path)
        newest_last = sorted(self._folder.glob("*.json"), key=lambda kept: kept.stat().st_mtime)
        for old in newest_last[:-_KEPT]:
            old.unlink(missing_ok=True)


def _sha256(adapter: Path) -> str:
    """Of its weights, in one file or several."""
    digest = hashlib.sha256()
    for weights in sorted(adapter.glob("*.safetensors")):
        with weights.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _read(path: Path, count: int, kind: type[Kind]) -> list[Kind] | None:
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(measured, list) or len(measured) != count or not all(type(one) is kind for one in measured):
        return None
    _asked_for(path)
    return measured


def _asked_for(path: Path) -> None:
    """The newest are kept; the kernel's own stamp is too coarse to tell which of two that is."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))
