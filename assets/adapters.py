"""lora_adapter: trained by a process of its own, on the dataset of this version."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from assets.checks import ADAPTER_CHECKS, adapter_checks
from assets.datasets import validated_dataset
from assets.live import LiveProgress
from assets.mlflow_run import attempt, mlflow_run
from assets.step import POOL, step
from core.manifest import Manifest
from core.verdict import Verdict
from resources import plots, trained
from resources.report import picture, table
from resources.settings import Settings
from resources.store import Store
from resources.store_errors import DatasetMissing
from resources.tracking import Tracking
from resources.trainer import Trainer
from resources.versions import Claim, Version


@dg.asset(
    deps=[validated_dataset],
    pool=POOL,
    group_name="loop",
    kinds={"pytorch", "mlflow"},
    check_specs=ADAPTER_CHECKS,
    # without an adapter the steps after it are skipped
    output_required=False,
)
def lora_adapter(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[Store],
    settings: dg.ResourceParam[Settings],
    trainer: dg.ResourceParam[Trainer],
    tracking: dg.ResourceParam[Tracking],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The LoRA adapter of this version; an interrupted training goes on from its checkpoint."""
    with step(context, store, settings) as claim:
        rejected = reject_without_data(store, settings, claim)
        made = None if rejected else train(context, store, settings, trainer, tracking, claim)
    if made:
        yield made
    else:
        yield from adapter_checks([])


def reject_without_data(store: Store, settings: Settings, claim: Claim) -> bool:
    """End a version whose training side is empty as rejected; to train it again would find nothing again."""
    version = store.versions.get(claim.n)
    if version.state != "open" or not nothing_to_train_on(store, version):
        return False
    reason = f"not enough evidence: no conversation of v{claim.n} is left to train on, all are rejected or held out"
    verdict = Verdict(promoted=False, reasons=(reason,), checks=(), thresholds=settings.gate_thresholds())
    store.versions.reject_untrained(claim, verdict)
    return True


def nothing_to_train_on(store: Store, version: Version) -> bool:
    """From the base it trains on all accepted conversations so far, from a champion on its own alone."""
    if version.starts_from is None:
        return version.counts.get("train") == 0
    return not store.versions.has_own_to_train_on(version.n)


def train(
    context: dg.AssetExecutionContext,
    store: Store,
    settings: Settings,
    trainer: Trainer,
    tracking: Tracking,
    claim: Claim,
) -> dg.MaterializeResult:
    """Run the trainer unless it is done, and show what came of it."""
    with mlflow_run(context, store, settings, tracking, claim) as run_id:
        version = store.versions.get(claim.n)
        target = trained.folder_of(settings.state_dir, claim.n, version.method)
        if version.state == "open":
            if version.dataset_hash is None:
                raise DatasetMissing(claim.n)
            trainer.run("train", claim, LiveProgress(context))
        manifest = trained.verify(target, version.base_fingerprint, version.method)
        figures = training_figures(manifest)
        if version.state == "open":
            store.versions.mark_trained(claim, trained.sha256_of(manifest), figures)
        curve = store.progress.curve(claim.n)
        if run_id:
            attempt(context, lambda: tracking.log_training(run_id, training_params(manifest), curve))
        page = attempt(context, lambda: tracking.run_url(run_id)) if run_id else None
    with TemporaryDirectory() as aside:
        drawn = picture(plots.loss_curve(curve, Path(aside) / "loss_curve.png"), "Training loss")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(trained.sha256_of(manifest)),
        metadata={
            "version": claim.n,
            "loss_curve": dg.MetadataValue.md(drawn),
            "mlflow_run": dg.MetadataValue.url(page) if page else "MLflow was away",
            **figures,
            "recipe": dg.MetadataValue.md(table(["", ""], list(manifest.recipe.items()))),
            "folder": dg.MetadataValue.path(str(target)),
        },
        check_results=adapter_checks(curve),
    )


def training_figures(manifest: Manifest) -> dict[str, Any]:
    """The numbers of a manifest: counts as they are, details where they are numbers."""
    figures: dict[str, Any] = dict(manifest.counts)
    for name, text in manifest.details.items():
        try:
            figures[name] = float(text)
        except ValueError:
            figures[name] = text
    return figures


def training_params(manifest: Manifest) -> dict[str, Any]:
    """What MLflow keeps as parameters: the recipe, the dataset and the libraries."""
    return {
        **manifest.recipe,
        "dataset_hash": manifest.dataset_hash,
        "base_fingerprint": manifest.base_fingerprint,
        "parent": manifest.parent,
        **{f"library.{name}": version for name, version in manifest.library_versions.items()},
        **{f"count.{name}": number for name, number in manifest.counts.items()},
    }
