"""Training states on disk: published whole, the last two kept, a damaged one passed over for the one before."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.manifest import Kind, Manifest
from core.recipe import Recipe

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

TENSORS = "training.safetensors"
STATE = "state.json"


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
    """All that a run needs to go on as if it had never stopped; `step` is the number of finished steps."""

    step: int
    tensors: dict[str, "torch.Tensor"]
    figures: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """Checkpoints of one version. `publish`, `check` and `hashes` make folders whole and tell whether they are."""

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
        (staging / STATE).write_text(json.dumps({"step": state.step, "figures": state.figures}), encoding="utf-8")
        counts = {"step": state.step}
        self._publish(staging, final, origin.manifest("checkpoint", self._hashes(staging), counts=counts))
        self._remove_old()
        return final

    def newest(self) -> tuple[TrainingState, Manifest] | None:
        """The newest whole checkpoint with its manifest; damaged ones are named in the log and passed over."""
        for folder in reversed(self._finished()):
            try:
                manifest = self._check(folder)
            except ValueError as error:
                logger.warning("Checkpoint passed over: %s", error)
                continue
            return _read(folder), manifest
        return None

    def clear(self) -> None:
        """Remove all of them: the adapter they led to is published."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _finished(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("step-*") if path.is_dir() and not path.name.endswith(".tmp"))

    def _remove_old(self) -> None:
        for folder in self._finished()[: -self._keep]:
            shutil.rmtree(folder)


def _read(folder: Path) -> TrainingState:
    from safetensors.torch import load_file

    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return TrainingState(step=state["step"], tensors=load_file(folder / TENSORS), figures=state["figures"])
