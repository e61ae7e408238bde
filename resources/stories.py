"""What a report tells, gathered from the store and from what lies beside it."""

import logging
from pathlib import Path
from typing import Any

from core.manifest import MANIFEST_NAME, Manifest
from core.verdict import ArtifactSanity, Evaluation, Verdict, reference_name
from resources import folders, trained
from resources.report import EVALUATION, Made, Story, read_evaluation
from resources.store import Store
from resources.store_errors import NotFound
from resources.versions import Version

log = logging.getLogger(__name__)

# the adapter's manifest, kept beside the report: folders of old adapters are removed, reports stay
ADAPTER = "adapter.json"


def story_of(store: Store, state_dir: Path, n: int, evaluation: Evaluation, verdict: Verdict) -> Story:
    """All that the page of a version tells, as it stands now."""
    version = store.versions.get(n)
    captured = store.conversations.counts()
    champion = evaluation.champion
    return Story(
        evaluation,
        verdict,
        store.progress.curve(n),
        {"captured so far": captured.total, "eligible so far": captured.eligible, **_counts(version)},
        version.counts.get("reasons", {}),
        version.training,
        {
            "base model": version.base_fingerprint,
            "compared with": reference_name(champion),
            "trained from": reference_name(version.starts_from),
            "dataset": version.dataset_hash,
            "adapter": version.adapter_sha256,
            "MLflow run": version.mlflow_run_id,
        },
        made=made(store, state_dir, version),
        before=None if champion is None else made(store, state_dir, store.versions.get(champion)),
        state=version.state,
        override=version.override_reason,
        again=store.evaluations.done(n),
    )


def stored_story(store: Store, state_dir: Path, n: int) -> Story:
    """The story of a version that was judged; NotFound where it was not."""
    version = store.versions.get(n)
    if version.verdict is None:
        raise NotFound(f"Expected a report of v{n}, found none: it is written when the version is judged")
    folder = state_dir / "reports" / f"v{n}"
    found = read_evaluation(folder) if (folder / EVALUATION).is_file() else _nothing_measured(version)
    return story_of(store, state_dir, n, found, version.verdict)


def made(store: Store, state_dir: Path, version: Version) -> Made:
    """How a version came about."""
    origins: dict[str, int] = {}
    for _, provenance, number in store.versions.origins(version.n):
        origins[provenance] = origins.get(provenance, 0) + number
    return Made(version.n, _recipe(state_dir, version.n), _counts(version), version.training, origins)


def keep_manifest(state_dir: Path, n: int) -> None:
    """Put the adapter's manifest beside the report; where it does not read, the report says nothing of the recipe."""
    try:
        manifest = folders.read_manifest(trained.found(state_dir, n))
    except folders.FolderRefused as refused:
        log.warning("the recipe of v%d is not known: %s", n, refused)
        return
    folders.write_whole(state_dir / "reports" / f"v{n}" / ADAPTER, manifest.to_json())


def _recipe(state_dir: Path, n: int) -> dict[str, Any]:
    for path in (state_dir / "reports" / f"v{n}" / ADAPTER, trained.found(state_dir, n) / MANIFEST_NAME):
        try:
            return Manifest.from_json(path.read_bytes()).recipe
        except (OSError, ValueError):
            continue
    return {}


def _counts(version: Version) -> dict[str, Any]:
    return {name: value for name, value in version.counts.items() if name != "reasons"}


def _nothing_measured(version: Version) -> Evaluation:
    """Of a version that was rejected before anything could be measured, as where nothing was left to train on."""
    sanity = ArtifactSanity(finite=False, changed=False, right_base=True)
    return Evaluation(
        version=version.n, base_fingerprint=version.base_fingerprint, held_out=(), general=(), sanity=sanity
    )
