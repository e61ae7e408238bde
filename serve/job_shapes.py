"""Jobs as the API shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.error_classes import advice, group_of
from core.live_settings import LiveSettings
from core.recipe import Recipe
from core.wish import recipe_of
from resources.job_rows import Job, name_of
from resources.progress import Progress
from resources.times import moment
from resources.versions import Version
from serve.figures import finite, loop_state
from serve.job_schema import NAMES

_SHOWN = {ours: alias for alias, ours in reversed(NAMES.items())}


@dataclass(frozen=True)
class Bench:
    """What a job is shown against: the base that is served, and the recipe that the settings make."""

    base_model: str
    lineage: str
    live: Callable[[], LiveSettings]
    make_recipe: Callable[[LiveSettings], Recipe]

    def recipe(self, job: Job) -> Recipe:
        """The recipe of a job, by the settings as they are now where it has not begun."""
        live = self.live()
        kept = job.version.settings if job.version else job.wish.settings({})
        return recipe_of(kept, live, self.make_recipe)


def job_shape(job: Job, bench: Bench) -> dict[str, Any]:
    """A job as every route shows it."""
    version, report = job.version, job.progress
    recipe = bench.recipe(job)
    ours = version is None or version.base_fingerprint == bench.lineage
    return {
        "id": job.n,
        "job_name": name_of(job),
        "base_model": bench.base_model if ours or version is None else version.base_fingerprint,
        "dataset_id": job.wish.dataset_id or "eligible",
        "method": version.method if version else recipe.method,
        "hyperparameters": hyperparameters(recipe),
        "gpu_ids": list(job.wish.gpu_ids),
        "status": job.status,
        "stage": stage_of(version),
        "waits_for": job.behind,
        "verdict": {"promoted": "promoted", "rejected": "rejected"}.get(version.state) if version else None,
        **progress_shape(job),
        "loss": finite(report.loss) if report else None,
        "tokens_per_second": finite(report.tokens_per_second) if report else None,
        "conversations": version.counts.get("claimed") if version else None,
        "attempts": version.attempts if version else 0,
        "mlflow_run_id": version.mlflow_run_id if version else None,
        **error_shape(job),
        "created_at": moment(job.asked_at),
        "started_at": moment(version.started_at) if version and version.attempts else None,
        "completed_at": moment(version.finished_at) if version and version.finished_at else None,
    }


def hyperparameters(recipe: Recipe) -> dict[str, Any]:
    """Every number of a recipe, under the names that trainers elsewhere use where they have one."""
    fields = recipe.model_dump(mode="json", exclude={"method"})
    return {_SHOWN.get(name, name): value for name, value in fields.items()}


def stage_of(version: Version | None) -> str | None:
    """Where the loop is with it; None before it begins and once it is over."""
    return loop_state(version, queued=True) if version and version.unfinished else None


def progress_shape(job: Job) -> dict[str, Any]:
    """How far its training is; a job that left an adapter is through."""
    report, done = job.progress, job.status == "completed"
    share = report.step / report.total_steps if report and report.total_steps else 0.0
    running = job.status == "running"
    return {
        "progress": 1.0 if done else round(share, 4),
        "current_step": report.step if report else None,
        "total_steps": report.total_steps if report else None,
        "eta_seconds": finite(report.eta_seconds) if report and running else None,
    }


def error_shape(job: Job) -> dict[str, Any]:
    """Why its last attempt, or the job itself, came to nothing; all None where nothing went wrong."""
    version = job.version
    failed = version is not None and version.error is not None and job.status != "cancelled"
    return {
        "error_class": version.error_class if version and failed else None,
        "error_group": group_of(version.error_class) if version and failed else None,
        "error_message": version.error if version else None,
        "advice": advice(version.error_class, job.n) if version and failed else None,
    }


def metric_row(report: Progress, epochs: int) -> dict[str, Any]:
    """One point of its curve; `epoch` counts passes over the dataset, with fractions."""
    share = report.step / report.total_steps if report.total_steps else 0.0
    return {
        "step": report.step,
        "epoch": round(share * epochs, 4),
        "loss": finite(report.loss),
        "learning_rate": finite(report.learning_rate),
        "eval_loss": finite(report.validation_loss),
        "tokens_per_second": finite(report.tokens_per_second),
        "stage": report.stage,
    }
