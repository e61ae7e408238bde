"""Training states on disk: published whole, the last ones and the best kept, a damaged one passed over."""

import json
import logging
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.manifest import MANIFEST_NAME, Kind, Manifest
from core.recipe import Recipe

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

TENSORS = "training.safetensors"
STATE = "state.json"
METRIC = "validation_loss"
# of AdamW, by the names torch has for them
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Origin:
    """What a training belongs to; a state is only continued by a training of the same origin."""

    version: int
    base_fingerprint: str
    dataset_hash: str
    recipe: Recipe
    parent: int | None = None
    library_versions: dict[str, str] = field(default_factory=dict)

    def manifest(self, kind: Kind, files: dict[str, str], **fields: Any) -> Manifest:
        """The manifest of a folder that this training publishes."""
        return Manifest(
            kind=kind,
            version=self.version,
            files=files,
            base_fingerprint=self.base_fingerprint,
            dataset_hash=self.dataset_hash,
            recipe=self.recipe.model_dump(mode="json"),
            seed=self.recipe.seed,
            library_versions=self.library_versions,
            parent=self.parent,
            **fields,
        )

    def led_to(self, manifest: Manifest) -> bool:
        """Whether `manifest` is of the same base, dataset, recipe and starting point."""
        mine = (self.base_fingerprint, self.dataset_hash, self.recipe.model_dump(mode="json"), self.parent)
        return mine == (manifest.base_fingerprint, manifest.dataset_hash, manifest.recipe, manifest.parent)


@dataclass(frozen=True)
class TrainingState:
    """All that a run needs to go on as if it had never stopped; `step` is the number of finished steps.

    `metrics` are measured at that step; the state with the lowest `validation_loss` is the best.
    """

    step: int
    tensors: dict[str, "torch.Tensor"]
    figures: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class Checkpoints:
    """Checkpoints of one version, of which the last `keep` stay, and the best beside them.

    `publish`, `check` and `hashes` make folders whole and tell whether they are.
    """

    def __init__(
        self,
        folder: Path,
        *,
        publish: Callable[[Path, Path, Manifest], None],
        check: Callable[[Path], Manifest],
        hashes: Callable[[Path], dict[str, str]],
        keep: int = 2,
    ) -> None:
        self._folder = folder
        self._publish = publish
        self._check = check
        self._hashes = hashes
        self._keep = keep

    def save(self, state: TrainingState, origin: Origin) -> Path:
        """Publish `state` as step-000040 or the like."""
        from safetensors.torch import save_file

        final = self._folder / f"step-{state.step:06d}"
        staging = final.with_name(f"{final.name}.tmp")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}, staging / TENSORS
        )
        said = {"step": state.step, "figures": state.figures, "metrics": state.metrics}
        (staging / STATE).write_text(json.dumps(said), encoding="utf-8")
        counts = {"step": state.step}
        details = {name: f"{value:.6g}" for name, value in state.metrics.items()}
        manifest = origin.manifest("checkpoint", self._hashes(staging), counts=counts, details=details)
        self._publish(staging, final, manifest)
        self._remove_old()
        return final

    def newest(self) -> tuple[TrainingState, Manifest] | None:
        """The newest whole checkpoint with its manifest; damaged ones are named in the log and passed over."""
        return self._first_whole(reversed(self._finished()))

    def best(self) -> tuple[TrainingState, Manifest] | None:
        """The whole checkpoint with the lowest validation loss; None where it was not measured."""
        return self._first_whole(self._by_metric())

    def clear(self) -> None:
        """Remove all of them: the adapter they led to is published."""
        for folder in self._finished():
            _remove(folder)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _first_whole(self, folders: Iterable[Path]) -> tuple[TrainingState, Manifest] | None:
        for folder in folders:
            try:
                manifest = self._check(folder)
            except ValueError as error:
                logger.warning("Checkpoint passed over: %s", error)
                continue
            return _read(folder), manifest
        return None

    def _finished(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("step-*") if path.is_dir() and not path.name.endswith(".tmp"))

    def _by_metric(self) -> list[Path]:
        """Those of which it was measured, the best first; of equals the newest."""
        found = [(value, folder) for folder in reversed(self._finished()) if (value := _metric(folder)) is not None]
        return [folder for _, folder in sorted(found, key=lambda pair: pair[0])]

    def _remove_old(self) -> None:
        best = self._by_metric()[:1]
        for folder in self._finished()[: -self._keep]:
            if folder not in best:
                _remove(folder)


def _remove(folder: Path) -> None:
    """Its manifest first: broken off, what is left of it says of itself that it is none."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Checkpointing:
    """Where states go and how often; `origin` names dataset, base and recipe they belong to."""

    checkpoints: Checkpoints
    origin: Origin
    seconds: float = 15.0


def _read(folder: Path) -> TrainingState:
    from safetensors.torch import load_file

    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return TrainingState(state["step"], load_file(folder / TENSORS), state["figures"], state["metrics"])


def _metric(folder: Path) -> float | None:
    try:
        value = json.loads((folder / STATE).read_text(encoding="utf-8"))["metrics"].get(METRIC)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):  # damaged: never the best
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None
