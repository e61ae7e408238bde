"""An agent goes to MLflow and comes back as it was, or is not run."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from resources import mlflow_store
from tests.wrappers.agent_doubles import FakeModel, OpenAiServer
from wrappers.agent import LangGraphWrapper
from wrappers.agent_files import BUILT_IN, HASH_TAG, AgentRefused
from wrappers.agent_saving import save_agent

pytestmark = pytest.mark.slow  # imports MLflow

CABLE = "Check the cable first of all, then call us."


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One MLflow for all tests, each of which has a model of its own there."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow_store.create(uri)
    mlflow_store.client(uri).create_experiment("agents", artifact_location=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture
def client(store: str) -> Any:
    made = mlflow_store.client(store)
    mlflow_store.import_mlflow().set_experiment("agents")
    return made


@pytest.fixture
def name() -> str:
    return f"agent-{uuid4().hex}"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The built-in graph with a prompt of somebody's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    for path in BUILT_IN.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    prompts = (folder / "prompts.yaml").read_text().replace("friendly and accurate", "terse")
    (folder / "prompts.yaml").write_text(prompts)
    return folder


def wrapper(model: FakeModel, tmp_path: Path) -> LangGraphWrapper:
    return LangGraphWrapper(model, cache=tmp_path / "cache")


def saved(uri: str) -> Path:
    """Where MLflow keeps the files, not a copy."""
    return Path(mlflow_store.import_mlflow().artifacts.download_artifacts(artifact_uri=uri))


def test_what_is_saved_is_loaded_and_runs_with_its_own_prompts(
    client: Any, own: Path, name: str, tmp_path: Path
) -> None:
    assert save_agent(own, name, "production") == f"models:/{name}/1"
    assert save_agent(own, name, "production") == f"models:/{name}/1", "the same files are saved once"
    assert save_agent(BUILT_IN, name) == f"models:/{name}/2"
    model = FakeModel(CABLE)
    agent = wrapper(model, tmp_path)
    agent.load(f"models:/{name}@production")

    assert agent.predict({"input": "My printer is dead."}) == CABLE
    assert "terse" in model.asked[0][1][0]["content"]
    assert agent.files.version == f"models:/{name}/1"
    agent.load(f"models:/{name}/2")
    agent.predict({"input": "My printer is dead."})
    assert "friendly" in model.asked[1][1][0]["content"]
    assert not list(saved(f"models:/{name}/1").rglob("*.pkl"))


def test_files_that_were_changed_since_are_not_run(client: Any, own: Path, name: str, tmp_path: Path) -> None:
    uri = save_agent(own, name, "production")
    marker = tmp_path / "was-run"
    for path in ("langgraph.py", "artifacts/prompts.yaml", "artifacts/config.json"):
        file = saved(uri) / path
        before = file.read_text()
        file.write_text(before + (f"\nopen({str(marker)!r}, 'w')\n" if path.endswith(".py") else " "))
        agent = wrapper(FakeModel(CABLE), tmp_path)
        with pytest.raises(AgentRefused, match="changed since they were saved"):
            agent.load(f"models:/{name}@production")
        assert agent.files.version == "built-in"
        file.write_text(before)
    assert not marker.exists()
    wrapper(FakeModel(CABLE), tmp_path).load(uri)


def test_a_version_without_a_hash_is_not_run(client: Any, own: Path, name: str, tmp_path: Path) -> None:
    save_agent(own, name)
    for tag in ("", "../../elsewhere"):
        client.set_model_version_tag(name, "1", HASH_TAG, tag)
        with pytest.raises(AgentRefused, match="SHA-256 as tag"):
            wrapper(FakeModel(CABLE), tmp_path).load(f"models:/{name}/1")


def test_what_was_loaded_last_is_kept_for_a_registry_that_is_away_while_it_is_whole(
    client: Any, own: Path, name: str, tmp_path: Path
) -> None:
    uri = save_agent(own, name)
    wrapper(FakeModel(CABLE), tmp_path).load(uri)
    agent = wrapper(FakeModel(CABLE), tmp_path)
    assert not agent.load_kept("models:/another@production")
    assert agent.load_kept(uri)
    assert agent.files.version == uri
    (kept,) = (tmp_path / "cache").rglob("langgraph.py")
    kept.write_text("raise SystemExit")
    assert not agent.load_kept(uri)
    agent.load(uri)
    assert agent.predict({"input": "My printer is dead."}) == CABLE


def test_what_makes_no_graph_is_not_saved(client: Any, own: Path, name: str) -> None:
    (own / "langgraph.py").write_text("def build(prompts, config): return None")
    with pytest.raises(AgentRefused):
        save_agent(own, name)
    assert not client.search_registered_models(f"name='{name}'")


def test_mlflow_itself_runs_it_from_its_code(
    client: Any, own: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAiServer(CABLE) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "unused")
        loaded = mlflow_store.import_mlflow().pyfunc.load_model(save_agent(own, name))
        assert loaded.predict(["My printer is dead."]) == [CABLE]

    (asked,) = server.asked
    assert (asked["model"], asked["store"], "terse" in asked["messages"][0]["content"]) == ("production", False, True)
