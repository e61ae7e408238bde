from pathlib import Path

import pytest

from resources import mlflow_store
from resources.mlflow_store import MlflowUnavailable
from resources.registry import FOREIGN, MlflowRegistry
from resources.tracking import Experiment

pytestmark = pytest.mark.slow  # imports MLflow

TAGS = {"whetstone.version": "3", "verdict": "promoted", "dataset_hash": "d" * 64}


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "v3"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.fixture
def registry(mlflow_uri: str, tmp_path: Path) -> MlflowRegistry:
    return MlflowRegistry(mlflow_uri, "whetstone", Experiment("finetuning_base", tmp_path / "mlartifacts"))


def test_a_version_is_registered_with_its_files_tags_and_report(
    registry: MlflowRegistry, adapter: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.md"
    page.write_text("# v3: promoted\n\n- It is better.\n\n## Details\n\nlong", encoding="utf-8")
    assert registry.register(3, adapter, None, TAGS, page) == "1"
    version = mlflow_store.client(registry.tracking_uri).get_model_version("whetstone", "1")
    assert version.tags == TAGS
    assert version.description == "# v3: promoted\n\n- It is better.\n"
    stored = [path.name for path in (tmp_path / "mlartifacts").rglob("*.json")]
    assert sorted(stored) == ["adapter_config.json", "manifest.json"]


def test_a_whole_model_is_registered_as_one(registry: MlflowRegistry, adapter: Path) -> None:
    registry.register(3, adapter, None, {**TAGS, "method": "full"}, None)
    client = mlflow_store.client(registry.tracking_uri)
    experiment = client.get_experiment_by_name("finetuning_base").experiment_id
    (model,) = client.search_logged_models([experiment])
    assert (model.name, model.model_type) == ("model-v3", "whole-model")


def test_registering_twice_gives_the_same_version(registry: MlflowRegistry, adapter: Path) -> None:
    first = registry.register(3, adapter, None, TAGS, None)
    assert registry.register(3, adapter, None, TAGS, None) == first
    assert registry.registered(3) == first
    assert registry.registered(4) is None


def test_what_a_crash_left_unfinished_is_replaced(registry: MlflowRegistry, adapter: Path) -> None:
    registry.register(2, adapter, None, {}, None)
    client = mlflow_store.client(registry.tracking_uri)
    experiment = client.get_experiment_by_name("finetuning_base").experiment_id
    left = client.create_logged_model(experiment, name="adapter-v3", tags={"whetstone.version": "3"})
    registry.register(3, adapter, None, TAGS, None)
    models = client.search_logged_models([experiment], filter_string="tags.`whetstone.version`='3'")
    assert [model.model_id for model in models if model.model_id == left.model_id] == []
    assert len(models) == 1


def test_an_alias_names_our_number_whatever_mlflow_counts(registry: MlflowRegistry, adapter: Path) -> None:
    registry.register(7, adapter, None, {}, None)
    registry.set_alias("production", 7)
    assert registry.alias("production") == 7
    assert registry.alias("staging") is None


def test_an_alias_can_be_removed_and_removing_twice_is_quiet(registry: MlflowRegistry, adapter: Path) -> None:
    registry.set_alias("production", None)
    registry.register(3, adapter, None, TAGS, None)
    registry.set_alias("production", 3)
    registry.set_alias("production", None)
    registry.set_alias("production", None)
    assert registry.alias("production") is None


def test_an_alias_on_a_version_registered_by_hand_is_foreign(registry: MlflowRegistry, adapter: Path) -> None:
    registry.register(3, adapter, None, TAGS, None)
    client = mlflow_store.client(registry.tracking_uri)
    by_hand = client.create_model_version("whetstone", source=str(adapter))
    client.set_registered_model_alias("whetstone", "production", by_hand.version)
    assert registry.alias("production") == FOREIGN


def test_an_alias_on_what_is_not_registered_is_refused(registry: MlflowRegistry) -> None:
    with pytest.raises(LookupError, match="register it"):
        registry.set_alias("production", 5)


def test_with_the_file_gone_it_is_away_and_nothing_is_made(registry: MlflowRegistry) -> None:
    path = mlflow_store.sqlite_path(registry.tracking_uri)
    assert path is not None
    assert registry.available()
    path.unlink()
    assert not registry.available()
    with pytest.raises(MlflowUnavailable):
        registry.alias("production")
    assert not path.exists()


def test_a_version_whose_run_is_gone_is_registered_without_it(registry: MlflowRegistry, adapter: Path) -> None:
    assert registry.register(3, adapter, "0" * 32, TAGS, None) == "1"
    assert registry.registered(3) == "1"
