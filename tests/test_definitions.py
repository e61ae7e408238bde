"""The root of the graph: what it defines, and what importing it costs."""

import subprocess
import sys
import time
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._daemon.sensor import is_under_min_interval

import definitions
from resources.settings import ROOT, Settings
from resources.tracking import MlflowTracking

HEAVY = ("torch", "transformers", "peft", "vllm", "mlflow", "dagster_mlflow", "matplotlib", "duckdb", "pandas", "ray")


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return definitions.defs.get_repository_def()


def test_the_graph_is_five_assets_in_the_order_data_flows(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    keys = [key.to_user_string() for key in graph.toposorted_asset_keys]
    assert keys == ["raw_conversations", "validated_dataset", "lora_adapter", "evaluation_report", "registered_model"]
    parents = [
        [parent.to_user_string() for parent in graph.get(key).parent_keys] for key in graph.toposorted_asset_keys
    ]
    assert parents == [[], *([key] for key in keys[:-1])]


def test_every_asset_waits_for_its_turn_in_one_pool(repository: dg.RepositoryDefinition) -> None:
    pools = {pool for node in repository.asset_graph.asset_nodes for pool in node.pools}
    assert pools == {"train"}


def test_nothing_but_the_sensor_tries_again(repository: dg.RepositoryDefinition) -> None:
    job = repository.get_job("retrain")
    assert job.tags["dagster/max_retries"] == "0"
    assert job.executor_def.name == "in_process"
    assert all(node.definition.retry_policy is None for node in job.nodes)  # type: ignore[attr-defined]


def test_materialize_in_the_pages_runs_like_the_job(repository: dg.RepositoryDefinition) -> None:
    assert repository.get_job("__ASSET_JOB").executor_def.name == "in_process"


def test_both_sensors_run_by_themselves(repository: dg.RepositoryDefinition) -> None:
    found = {s.name: s.default_status for s in repository.sensor_defs}
    running = dg.DefaultSensorStatus.RUNNING
    assert found == {"retrain_at_batch_threshold": running, "end_runs_without_a_process": running}


def test_no_sensor_waits_until_a_clock_that_was_set_back_has_caught_up(repository: dg.RepositoryDefinition) -> None:
    for sensor in repository.sensor_defs:
        an_hour_on = SensorInstigatorData(last_tick_start_timestamp=time.time() + 3600)
        state = SimpleNamespace(instigator_data=an_hour_on)
        remote = SimpleNamespace(min_interval_seconds=sensor.minimum_interval_seconds)
        assert not is_under_min_interval(state, remote), sensor.name  # type: ignore[arg-type]


def test_a_failing_check_never_stops_a_run(repository: dg.RepositoryDefinition) -> None:
    specs = [repository.asset_graph.get_check_spec(key) for key in repository.asset_graph.asset_check_keys]
    assert {spec.name for spec in specs} >= {
        "no_conversation_in_two_sides",
        "no_duplicate_conversations",
        "enough_held_out",
        "candidate_is_better",
    }
    assert not any(spec.blocking for spec in specs)


@pytest.mark.slow
def test_importing_the_root_loads_nothing_heavy() -> None:
    code = f"import sys, definitions; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_dagster_reads_the_workspace_file() -> None:
    """A [tool.dagster] or [tool.dg] table in pyproject.toml would win over it, silently."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "[tool.dagster" not in pyproject
    assert "[tool.dg" not in pyproject
    [entry] = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert (ROOT / entry["python_file"]["relative_path"]).is_file()


def test_the_instance_keeps_everything_under_var_and_sends_nothing() -> None:
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    assert config["telemetry"] == {"enabled": False}
    assert config["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
    folders = [config["storage"]["sqlite"]["base_dir"]]
    folders += [config[part]["config"]["base_dir"] for part in ("local_artifact_storage", "compute_logs")]
    assert all(folder.split("/")[:2] == ["var", "dagster"] for folder in folders)
    assert "run_retries" not in config


def test_links_to_mlflow_hold_neither_user_nor_password() -> None:
    settings = Settings(mlflow_tracking_uri="http://ann:secret@mlflow.example:5000", _env_file=None)
    tracking = definitions.mlflow_resources(settings)["tracking"]
    assert isinstance(tracking, MlflowTracking)
    assert tracking.model_url("3").startswith("http://mlflow.example:5000/#/models/")
