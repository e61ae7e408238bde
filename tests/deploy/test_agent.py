"""The commands that save an agent's graph and score its replies."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy import agent
from resources import mlflow_store
from resources.preflight import EXIT_STATUS
from tests.wrappers.agent_doubles import OpenAiServer

CABLE = "Check the cable of the printer first."


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    file = tmp_path / "golden.jsonl"
    rows = [
        {"instruction": "My printer is dead.", "output": CABLE},
        {"instruction": "프린터가 고장이에요.", "output": CABLE},
    ]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["save"], "AGENT_MODEL_NAME"),
        (["evaluate", "nowhere.jsonl"], "No such file"),
        (["evaluate", "notes.txt"], "jsonl"),
        (["evaluate", "broken.jsonl"], "line 1"),
        (["evaluate", "golden.jsonl"], "make up"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], says: str, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.jsonl").write_text('{"instruction": "a"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTAPI_PORT", "1")
    assert agent.main(arguments) == EXIT_STATUS
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


@pytest.mark.slow  # imports MLflow
def test_a_saved_graph_is_scored_and_both_are_in_mlflow(
    golden: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("AGENT_MODEL_NAME", "our-agent")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    ready = httpx.Response(200, json={"production": "v7"}, request=httpx.Request("GET", "http://127.0.0.1"))
    monkeypatch.setattr(agent.httpx, "get", lambda *_, **__: ready)
    with OpenAiServer(CABLE) as server:
        monkeypatch.setenv("FASTAPI_PORT", str(server.port))
        assert agent.main(["save"]) == 0, capsys.readouterr().err
        assert "models:/our-agent/1, under the alias production" in capsys.readouterr().out
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow leaves one in a process that ends with its command
        assert agent.main(["evaluate", str(golden)]) == 0, capsys.readouterr().err

    assert "bleu_en  100.000" in capsys.readouterr().out
    assert {asked["model"] for asked in server.asked} == {"v7"}
    client = mlflow_store.client(f"sqlite:///{state}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("agents").experiment_id])
    (run,) = [run for run in runs if "chrf" in run.data.metrics]
    assert (run.data.params["agent"], run.data.params["model"]) == ("models:/our-agent/1", "v7")
    assert list((state / "mlartifacts").rglob("langgraph.py"))
