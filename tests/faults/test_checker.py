"""The checker finds each thing that must never be, on a state that is otherwise whole."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.live_settings import LiveSettings
from resources.store import open_store
from tests.conftest import LINEAGE
from tests.e2e.checker import DOUBLED, HALF, LOST, Findings
from tests.faults.checker import judge
from tests.workshop import workshop

pytestmark = pytest.mark.slow  # a whole run of the graph

REGISTRY = """
CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version TEXT);
CREATE TABLE model_version_tags (name TEXT, version TEXT, key TEXT, value TEXT);
CREATE TABLE runs (run_uuid TEXT, status TEXT, lifecycle_stage TEXT);
CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);
INSERT INTO runs VALUES ('r', 'FINISHED', 'active');
INSERT INTO tags VALUES ('r', 'whetstone.version', '1');
INSERT INTO registered_model_aliases VALUES ('w', 'production', '1');
INSERT INTO model_version_tags VALUES ('w', '1', 'whetstone.version', '1');
"""


@pytest.fixture(scope="module")
def finished(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with one promoted version of 60 conversations, and its registry."""
    state = tmp_path_factory.mktemp("finished")
    shutil.copy(migrated_sqlite, state / "whetstone.db")
    store = open_store(f"sqlite:///{state / 'whetstone.db'}", live_defaults=LiveSettings(), lineage=LINEAGE)
    shop = workshop(store, state)
    shop.capture(0, 60)
    assert shop.run().success
    store.close()
    with closing(sqlite3.connect(state / "mlflow.db")) as registry:
        registry.executescript(REGISTRY)
    return state


@dataclass(frozen=True)
class State:
    folder: Path

    def sql(self, statement: str, database: str = "whetstone.db") -> None:
        with closing(sqlite3.connect(self.folder / database)) as connection, connection:
            connection.execute(statement)

    def judge(self, *, at_rest: bool = True) -> Findings:
        return judge(self.folder, "", sent=[f"c{n:04d}" for n in range(60)], at_rest=at_rest)

    def said(self, *, at_rest: bool = True) -> str:
        return "\n".join(self.judge(at_rest=at_rest).faults)


@pytest.fixture
def state(finished: Path, tmp_path: Path) -> Iterator[State]:
    shutil.copytree(finished, tmp_path / "state")
    return State(tmp_path / "state")


def test_a_whole_state_has_no_fault(state: State) -> None:
    found = state.judge()
    assert found.faults == []
    assert found.counts["claimed"] == 60
    assert found.counts["facts checked"] > 100


def test_an_acknowledged_conversation_that_is_gone_is_found(state: State) -> None:
    state.sql("DELETE FROM conversations WHERE id = 'c0003'")
    assert "1 acknowledged conversations are gone: ['c0003']" in state.said()


def test_a_conversation_that_waits_while_nothing_is_at_work_is_lost(state: State) -> None:
    state.sql("UPDATE conversations SET version = NULL WHERE id = 'c0003'")
    found = state.judge()
    assert "c0003 is in the dataset of v1 and should not be" in found.faults
    assert "c0003 is eligible and in no version" in found.faults
    assert (found.counts[LOST], found.counts[DOUBLED]) == (1, 1)
    assert "c0003 is eligible and in no version" not in state.said(at_rest=False)


def test_one_that_a_version_took_and_passed_over_is_lost(state: State) -> None:
    state.sql("UPDATE conversations SET side = NULL, findings = '[]' WHERE id = 'c0003'")
    found = state.judge(at_rest=False)
    assert "c0003 is in v1, on no side and not rejected for a reason" in found.faults
    assert found.counts[LOST] == 1


def test_an_acknowledged_one_that_no_version_may_take_is_lost(state: State) -> None:
    state.sql("UPDATE conversations SET eligible = 0, reason = 'duplicate', version = NULL WHERE id = 'c0003'")
    assert "c0003 was acknowledged and is not eligible" in state.said(at_rest=False)


def test_half_a_folder_and_half_a_file_under_their_final_names_are_found(state: State) -> None:
    (state.folder / "adapters" / "v2").mkdir()
    evaluation = state.folder / "reports" / "v1" / "evaluation.json"
    evaluation.write_text(evaluation.read_text(encoding="utf-8")[:-10], encoding="utf-8")
    found = state.judge(at_rest=False)
    assert "v2 is visible and has no manifest" in "\n".join(found.faults)
    assert f"{evaluation} is half a file" in found.faults
    assert found.counts[HALF] == 2


def test_half_a_checkpoint_is_found_once_nothing_is_at_work(state: State) -> None:
    shutil.copytree(state.folder / "adapters" / "v1", state.folder / "checkpoints" / "v1" / "step-000007")
    assert state.said() == ""
    (state.folder / "checkpoints" / "v1" / "step-000007" / "adapter_config.json").unlink()
    assert "step-000007: manifest lists" in state.said()
    assert state.said(at_rest=False) == ""


def test_a_changed_adapter_is_found(state: State) -> None:
    path = state.folder / "adapters" / "v1" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert "is not what its manifest says" in state.said(at_rest=False)


def test_a_champion_without_its_adapter_is_found(state: State) -> None:
    shutil.rmtree(state.folder / "adapters" / "v1")
    assert "the champion v1 has no adapter" in state.said(at_rest=False)


def test_a_champion_that_did_not_pass_is_found(state: State) -> None:
    state.sql("UPDATE versions SET state = 'rejected'")
    assert "the champion v1 did not pass its gate" in state.said()


def test_a_version_registered_twice_is_found(state: State) -> None:
    state.sql("INSERT INTO model_version_tags VALUES ('w', '2', 'whetstone.version', '1')", "mlflow.db")
    assert "v1 is registered 2 times" in state.said(at_rest=False)


def test_a_version_with_two_runs_or_with_one_that_nobody_ended_is_found(state: State) -> None:
    state.sql("INSERT INTO runs VALUES ('s', 'RUNNING', 'active')", "mlflow.db")
    state.sql("INSERT INTO tags VALUES ('s', 'whetstone.version', '1')", "mlflow.db")
    assert "v1 has 2 runs in MLflow" in state.said(at_rest=False)
    assert "the MLflow run of v1 was never ended" in state.said()


def test_an_alias_that_says_something_else_is_found_at_rest_and_a_version_that_is_none_always(state: State) -> None:
    state.sql("DELETE FROM registered_model_aliases", "mlflow.db")
    assert "alias production says vNone, the store {1}" in state.said()
    assert state.said(at_rest=False) == ""


def test_an_alias_on_a_model_that_is_no_version_of_ours_is_found_always(state: State) -> None:
    state.sql("UPDATE registered_model_aliases SET version = '9'", "mlflow.db")
    assert "alias production stands on what is no version of ours" in state.said(at_rest=False)


def test_a_decided_version_that_nobody_registered_is_found(state: State) -> None:
    state.sql("DELETE FROM model_version_tags", "mlflow.db")
    assert "decided and not registered: [1]" in state.said()


def test_a_registry_that_is_only_being_made_holds_nothing(state: State) -> None:
    (state.folder / "mlflow.db").unlink()
    state.sql("CREATE TABLE runs (run_uuid TEXT)", "mlflow.db")
    assert state.said(at_rest=False) == ""
    assert "decided and not registered: [1]" in state.said()


def test_work_left_undone_is_found_at_rest_alone(state: State) -> None:
    state.sql("UPDATE versions SET state = 'open', in_flight = 1")
    state.sql("UPDATE champions SET n = NULL")
    state.sql("DELETE FROM registered_model_aliases", "mlflow.db")
    assert "v1 is still open" in state.said()
    assert "v1 is still open" not in state.said(at_rest=False)
