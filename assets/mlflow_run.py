"""The MLflow run of a version: opened with the step, resumed on a retry, and never in the way of training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import dagster as dg

from core.wish import wish_in
from resources.holding import error_class_of
from resources.mlflow_store import MlflowUnavailable
from resources.settings import Settings
from resources.store import Fenced, Store
from resources.tracking import RunStatus, Tracking
from resources.versions import Claim, Version


@contextmanager
def mlflow_run(
    context: dg.AssetExecutionContext, store: Store, settings: Settings, tracking: Tracking, claim: Claim
) -> Iterator[str | None]:
    """Id of the version's run; None while MLflow is away. A step that breaks ends the run as FAILED or KILLED."""
    version = store.versions.get(claim.n)
    run_id = attempt(context, lambda: _open(context, store, settings, tracking, version))
    if run_id and run_id != version.mlflow_run_id:
        store.versions.set_mlflow_run(claim, run_id)
    try:
        yield run_id
    except BaseException as error:
        status: RunStatus = "KILLED" if _ended_from_outside(error) else "FAILED"
        if run_id:
            attempt(context, lambda: tracking.end(run_id, status))
        raise


def _ended_from_outside(error: BaseException) -> bool:
    """A stop, a cancelled version or run, or a lease that was lost: nothing that went wrong in the training itself."""
    return not isinstance(error, Exception) or isinstance(error, Fenced) or error_class_of(error) == "INTERRUPTED"


T = TypeVar("T")


def attempt(context: dg.AssetExecutionContext, what: Callable[[], T]) -> T | None:
    """Do something with MLflow; while it is away, say so and go on."""
    try:
        return what()
    except MlflowUnavailable as away:
        context.log.warning("%s. The version goes on without it and is registered when it is back.", away)
        return None


def _open(
    context: dg.AssetExecutionContext, store: Store, settings: Settings, tracking: Tracking, version: Version
) -> str:
    never_used = all(earlier.mlflow_run_id is None for earlier in store.versions.history(limit=200))
    tags = run_tags(settings, version)
    return tracking.open_run(context, tags["job_name"], version.mlflow_run_id, tags, create=never_used)


def run_tags(settings: Settings, version: Version) -> dict[str, str]:
    """How the run is found again in MLflow."""
    return {
        "whetstone.version": str(version.n),
        "job_name": wish_in(version.settings).job_name or f"v{version.n}",
        "project": "finetuning-mlops",
        "base_model": settings.base_model,
        "base_fingerprint": version.base_fingerprint,
        "method": version.method,
        "dataset_id": str(version.n),
        "dataset_name": f"v{version.n}",
        "dataset_hash": version.dataset_hash or "",
    }
