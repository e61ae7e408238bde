"""What MLflow keeps of a version beside the registry: one run with its parameters, curves, report and end."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from resources import mlflow_store
from resources.progress import Progress
from resources.settings import Settings

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
MAX_METRICS_A_CALL = 1000
VERSION_TAG = "whetstone.version"


@dataclass(frozen=True)
class Experiment:
    """Name, folder of the artifacts (used for a local store only) and tags of the MLflow experiment."""

    name: str
    artifact_root: Path | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def experiment_id(client: Any, experiment: Experiment) -> str:
    """The id of the experiment, created where there is none: its artifacts must not land in the working directory."""
    found = client.get_experiment_by_name(experiment.name)
    if found is not None:
        return str(found.experiment_id)
    root = experiment.artifact_root
    location = None if root is None else (root / experiment.name.replace("/", "_")).absolute().as_uri()
    return str(client.create_experiment(experiment.name, artifact_location=location, tags=dict(experiment.tags)))


class Tracking(ABC):
    """The MLflow run of a version; every method may raise MlflowUnavailable."""

    @abstractmethod
    def open_run(self, context: Any, name: str, run_id: str | None, tags: Mapping[str, str], *, create: bool) -> str:
        """Resume `run_id`, where it is None or gone one of the version that was left open, else open a new run.

        `context` is that of the Dagster step.

        `create` allows a store to be made where there is none. The run stays open until `end`.
        """

    @abstractmethod
    def log_training(self, run_id: str, params: Mapping[str, Any], curve: Sequence[Progress]) -> None:
        """Parameters, and the part of the curve that was not logged before."""

    @abstractmethod
    def log_figures(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Final figures and tags."""

    @abstractmethod
    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        """All files of a folder as artifacts under `name`."""

    @abstractmethod
    def end(self, run_id: str, status: RunStatus) -> None:
        """Close the run; one that is unknown or closed already is left alone."""

    @abstractmethod
    def run_url(self, run_id: str) -> str:
        """The page of a run."""

    @abstractmethod
    def artifact_url(self, run_id: str, path: str) -> str:
        """The page that shows one file of a run."""

    @abstractmethod
    def model_url(self, mlflow_version: str) -> str:
        """The page of a registered version."""


class MlflowTracking(Tracking):
    """`pages` is the address of MLflow's web pages."""

    def __init__(self, tracking_uri: str, experiment: Experiment, model_name: str, pages: str) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self._model_name = model_name
        self._pages = pages.rstrip("/")

    def open_run(self, context: Any, name: str, run_id: str | None, tags: Mapping[str, str], *, create: bool) -> str:
        if create:
            mlflow_store.create(self.tracking_uri)
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            experiment = experiment_id(client, self.experiment)
            known = run_id if run_id and _is_in(client, run_id, experiment) else _left_open(client, experiment, tags)
            opened = _open_through_dagster(
                context, self.experiment.name, mlflow_store.existing_uri(self.tracking_uri), known, tags
            )
            client.update_run(opened, name=name)
            return opened

    def log_training(self, run_id: str, params: Mapping[str, Any], curve: Sequence[Progress]) -> None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            from mlflow.entities import Metric, Param

            known = client.get_run(run_id).data
            logged = {(m.key, m.step) for key in known.metrics for m in client.get_metric_history(run_id, key)}
            metrics = [Metric(*point) for point in _points(curve) if (point[0], point[3]) not in logged]
            params_left = [Param(key, str(value)[:6000]) for key, value in params.items() if key not in known.params]
            client.log_batch(run_id, params=params_left)
            for start in range(0, len(metrics), MAX_METRICS_A_CALL):
                client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS_A_CALL])

    def log_figures(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            from mlflow.entities import Metric, RunTag

            known = client.get_run(run_id).data.metrics
            fresh = [Metric(key, value, _now_ms(), 0) for key, value in metrics.items() if known.get(key) != value]
            client.log_batch(run_id, metrics=fresh, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            client.log_artifacts(run_id, str(folder), name)

    def end(self, run_id: str, status: RunStatus) -> None:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            if has_run(client, run_id) and client.get_run(run_id).info.status in ("RUNNING", "SCHEDULED"):
                client.set_terminated(run_id, status)

    def run_url(self, run_id: str) -> str:
        client = mlflow_store.client(self.tracking_uri)
        with mlflow_store.translated(self.tracking_uri):
            experiment = client.get_run(run_id).info.experiment_id
        return f"{self._pages}/#/experiments/{experiment}/runs/{run_id}"

    def artifact_url(self, run_id: str, path: str) -> str:
        return f"{self.run_url(run_id)}/artifacts/{path}"

    def model_url(self, mlflow_version: str) -> str:
        return f"{self._pages}/#/models/{self._model_name}/versions/{mlflow_version}"


def _open_through_dagster(context: Any, experiment: str, uri: str, run_id: str | None, tags: Mapping[str, str]) -> str:
    """Let dagster-mlflow find or start the run and tie it to the Dagster run."""
    import dagster as dg

    mlflow = mlflow_store.import_mlflow()
    from dagster_mlflow import mlflow_tracking

    config = {
        "experiment_name": experiment,
        "mlflow_tracking_uri": uri,
        "mlflow_run_id": run_id,
        "env": {},
        "extra_tags": dict(tags),
    }
    try:
        with dg.build_resources(
            {"mlflow": mlflow_tracking},
            instance=context.instance,
            resource_config={"mlflow": {"config": config}},
            dagster_run=context.run,
            log_manager=context.log,
        ) as resources:
            opened = str(resources.mlflow.active_run().info.run_id)
            # what is left active would be ended as FINISHED when this process exits, whatever became of the version
            mlflow.end_run(status="RUNNING")
    except dg.DagsterResourceFunctionError as error:
        raise error.user_exception from error  # it is MLflow that refused, and MLflow never stands in the way
    return opened


def _left_open(client: Any, experiment: str, tags: Mapping[str, str]) -> str | None:
    """A run of the same version that a killed step had opened and could not note any more: a version has one run."""
    wanted = f"tags.`{VERSION_TAG}` = '{tags.get(VERSION_TAG, '')}' and attributes.status = 'RUNNING'"
    found = client.search_runs([experiment], wanted, max_results=1)
    return str(found[0].info.run_id) if found else None


def _is_in(client: Any, run_id: str, experiment: str) -> bool:
    """Whether the run is there and of this experiment, the only one MLflow goes on with: its name is a setting."""
    return has_run(client, run_id) and client.get_run(run_id).info.experiment_id == experiment


def has_run(client: Any, run_id: str) -> bool:
    """Whether MLflow knows this run and nobody deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _points(curve: Sequence[Progress]) -> list[tuple[str, float, int, int]]:
    """(name, value, time, step) of everything a curve says."""
    now = _now_ms()
    names = ("loss", "learning_rate", "tokens_per_second", "validation_loss")
    return [
        (name, float(value), now, report.step)
        for report in curve
        for name in names
        if (value := getattr(report, name)) is not None
    ]


def _now_ms() -> int:
    return int(time.time() * 1000)


def experiment_of(settings: Settings) -> Experiment:
    """The experiment of these settings: the one they name, else finetuning_ and the base model."""
    return Experiment(
        settings.mlflow_experiment_name or f"finetuning_{settings.base_model}",
        settings.state_dir / "mlartifacts",
        {
            "project": "finetuning-mlops",
            "base_model": settings.base_model,
            "method": "lora",
            # MLflow's page opens on training runs instead of traces
            "mlflow.experimentKind": "custom_model_development",
        },
    )
