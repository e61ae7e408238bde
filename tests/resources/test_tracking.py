from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from resources import mlflow_store
from resources.mlflow_store import MlflowUnavailable
from resources.progress import Progress
from resources.tracking import Experiment, MlflowTracking

pytestmark = pytest.mark.slow  # imports MLflow

TAGS = {"whetstone.version": "1", "method": "lora"}


@pytest.fixture
def tracking(mlflow_uri: str, tmp_path: Path) -> MlflowTracking:
    experiment = Experiment("finetuning_base", tmp_path / "mlartifacts", {"project": "finetuning-mlops"})
    return MlflowTracking(mlflow_uri, experiment, "whetstone", "http://127.0.0.1:5000/")


@pytest.fixture
def context() -> Iterator[SimpleNamespace]:
    """What is needed of a step's context."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield SimpleNamespace(instance=instance, run=dg.DagsterRun(job_name="retrain", run_id="r" * 8), log=None)


def open_run(tracking: MlflowTracking, context: Any, run_id: str | None = None) -> str:
    return tracking.open_run(context, "v1", run_id, TAGS, create=True)


def run_of(tracking: MlflowTracking, run_id: str) -> Any:
    return mlflow_store.client(tracking.tracking_uri).get_run(run_id)


def curve(first: int, last: int) -> list[Progress]:
    return [Progress(step, 10, 3.0 - step / 10, 1e-4, None, None, "training") for step in range(first, last)]


def test_a_run_is_named_tagged_and_stays_open(tracking: MlflowTracking, context: Any) -> None:
    run = run_of(tracking, open_run(tracking, context))
    assert (run.info.run_name, run.info.status) == ("v1", "RUNNING")
    assert run.data.tags.items() >= {**TAGS, "dagster_run_id": context.run.run_id}.items()


def test_nothing_is_left_active_that_would_end_the_run_at_exit(tracking: MlflowTracking, context: Any) -> None:
    open_run(tracking, context)
    assert mlflow_store.import_mlflow().active_run() is None


def test_a_retry_resumes_the_same_run(tracking: MlflowTracking, context: Any) -> None:
    first = open_run(tracking, context)
    tracking.end(first, "FAILED")
    assert open_run(tracking, context, first) == first
    assert run_of(tracking, first).info.status == "RUNNING"


def test_a_run_that_a_killed_step_opened_without_noting_it_is_gone_on_with(
    tracking: MlflowTracking, context: Any
) -> None:
    left = open_run(tracking, context)
    assert open_run(tracking, another_attempt(context)) == left
    tracking.end(left, "FINISHED")
    assert open_run(tracking, another_attempt(context)) != left


def another_attempt(context: Any) -> SimpleNamespace:
    """The step in a Dagster run of its own."""
    return SimpleNamespace(instance=context.instance, run=dg.DagsterRun(job_name="retrain"), log=None)


def test_a_run_that_is_gone_is_replaced_by_a_new_one(tracking: MlflowTracking, context: Any) -> None:
    opened = open_run(tracking, context, "0" * 32)
    assert opened != "0" * 32


def test_an_experiment_that_a_person_deleted_is_no_reason_to_stop_training(
    tracking: MlflowTracking, context: Any
) -> None:
    opened = open_run(tracking, context)
    client = mlflow_store.client(tracking.tracking_uri)
    client.delete_experiment(run_of(tracking, opened).info.experiment_id)
    with pytest.raises(MlflowUnavailable, match="deleted"):
        open_run(tracking, another_attempt(context))


def test_a_run_of_an_experiment_that_was_named_otherwise_is_left_alone(tracking: MlflowTracking, context: Any) -> None:
    first = open_run(tracking, context)
    other = replace(tracking.experiment, name="another")
    renamed = MlflowTracking(tracking.tracking_uri, other, "whetstone", "http://127.0.0.1:5000/")
    assert open_run(renamed, another_attempt(context), first) != first


def test_the_experiment_keeps_its_files_under_the_state_folder(
    tracking: MlflowTracking, context: Any, tmp_path: Path
) -> None:
    opened = open_run(tracking, context)
    experiment = mlflow_store.client(tracking.tracking_uri).get_experiment_by_name("finetuning_base")
    assert experiment.tags["project"] == "finetuning-mlops"
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("# v1", encoding="utf-8")
    tracking.log_folder(opened, tmp_path / "report", "report")
    assert [path.name for path in (tmp_path / "mlartifacts").rglob("report.md")] == ["report.md"]


def test_each_step_is_logged_once_however_often_the_curve_is(tracking: MlflowTracking, context: Any) -> None:
    opened = open_run(tracking, context)
    tracking.log_training(opened, {"rank": 16}, curve(1, 6))
    tracking.log_training(opened, {"rank": 16, "epochs": 3}, curve(1, 11))
    client = mlflow_store.client(tracking.tracking_uri)
    assert [metric.step for metric in client.get_metric_history(opened, "loss")] == list(range(1, 11))
    assert run_of(tracking, opened).data.params == {"rank": "16", "epochs": "3"}


def test_figures_and_tags_are_kept(tracking: MlflowTracking, context: Any) -> None:
    opened = open_run(tracking, context)
    tracking.log_figures(opened, {"held_out.estimate": -0.5}, {"verdict": "promoted"})
    tracking.log_figures(opened, {"held_out.estimate": -0.5}, {"verdict": "promoted"})
    data = run_of(tracking, opened).data
    assert data.metrics == {"held_out.estimate": -0.5}
    assert data.tags["verdict"] == "promoted"


def test_an_end_is_final_until_the_run_is_opened_again(tracking: MlflowTracking, context: Any) -> None:
    opened = open_run(tracking, context)
    tracking.end(opened, "FINISHED")
    tracking.end(opened, "KILLED")
    assert run_of(tracking, opened).info.status == "FINISHED"
    tracking.end("0" * 32, "KILLED")


def test_pages_are_named_by_address(tracking: MlflowTracking, context: Any) -> None:
    opened = open_run(tracking, context)
    experiment = run_of(tracking, opened).info.experiment_id
    assert tracking.run_url(opened) == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{opened}"
    assert tracking.model_url("2") == "http://127.0.0.1:5000/#/models/whetstone/versions/2"


def test_without_leave_to_create_a_missing_store_stays_missing(tracking: MlflowTracking, context: Any) -> None:
    path = mlflow_store.sqlite_path(tracking.tracking_uri)
    assert path is not None
    path.unlink()
    with pytest.raises(MlflowUnavailable):
        tracking.open_run(context, "v1", None, TAGS, create=False)
    assert not path.exists()
