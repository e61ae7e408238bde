"""What both stages of the trainer process need to know of their version."""

from dataclasses import dataclass
from pathlib import Path

from core.wish import recipe_of
from resources import base_model, folders
from resources.failures import DatasetUnusable
from resources.settings import Settings
from resources.store import Store
from resources.versions import Claim, Version
from wrappers.adapter_job import library_versions
from wrappers.checkpoints import Origin


@dataclass(frozen=True)
class Work:
    """One version at one fence, and everything both stages need to know of it."""

    settings: Settings
    store: Store
    claim: Claim
    version: Version
    base: Path
    fingerprint: str

    def folder(self, kind: str, n: int | None = None) -> Path:
        """`kind` is one of the folders of the state: datasets, checkpoints, adapters, reports."""
        return self.settings.state_dir / kind / f"v{n or self.claim.n}"


def dataset_hash(work: Work) -> str:
    """The hash of the dataset of this version; DatasetUnusable where it is missing, damaged or of another base."""
    try:
        manifest = folders.check(work.folder("datasets"))
    except folders.FolderRefused as error:
        raise DatasetUnusable(str(error)) from error
    if manifest.base_fingerprint != work.fingerprint:
        raise DatasetUnusable(
            f"Expected the dataset of v{work.claim.n} for base {work.fingerprint}, found {manifest.base_fingerprint}"
        )
    return manifest.dataset_hash or manifest.fingerprint()


def origin_of(work: Work, dataset_hash: str) -> Origin:
    """What this training belongs to; a version keeps the live settings of its claim, whatever was changed since."""
    size = base_model.parameters(work.base)
    kept = {**work.version.settings, "finetune_method": work.version.method}
    recipe = recipe_of(kept, work.settings.live(), lambda live: work.settings.recipe(live, size))
    parent = work.version.parent if recipe.start_from == "champion" else None
    return Origin(work.claim.n, work.fingerprint, dataset_hash, recipe, parent, library_versions(recipe))
