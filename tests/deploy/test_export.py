"""The store's conversations in a file for another tool."""

import json
import stat
from pathlib import Path

import pytest
import yaml

from deploy.export import ExportFailed, export_to, main
from resources.settings import Settings
from resources.store import open_store
from tests.resources.examples import fill


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(state_dir=tmp_path / "state", models_dir=tmp_path / "models")
    settings.state_dir.mkdir()
    return settings


@pytest.fixture
def filled(settings: Settings) -> Settings:
    store = open_store(settings.database_url, live_defaults=settings.live())
    fill(store, "c1", "c2")
    store.close()
    return settings


def hidden(settings: Settings, *ids: str) -> list[str]:
    store = open_store(settings.database_url, live_defaults=settings.live())
    names = store.pseudonyms()
    store.close()
    return [names.id(id) for id in ids]


def test_an_export_stands_beside_the_config_that_reads_it(filled: Settings, tmp_path: Path) -> None:
    file = tmp_path / "out" / "data.jsonl"
    told = export_to(filled, "sharegpt", file)
    read = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [record["id"] for record in read] == hidden(filled, "c1", "c2")
    [dataset] = yaml.safe_load((tmp_path / "out" / "data.jsonl.axolotl.yaml").read_text())["datasets"]
    assert (dataset["path"], dataset["field_messages"]) == ("data.jsonl", "conversations")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told[0].startswith("2 conversations as sharegpt")
    assert "provenance" in told[-1]


def test_a_format_without_turns_has_no_config(filled: Settings, tmp_path: Path) -> None:
    export_to(filled, "prompt_completion", tmp_path / "data.jsonl")
    assert not list(tmp_path.glob("*.yaml"))


def test_nothing_to_export_leaves_no_file(filled: Settings, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="nothing that dpo could hold: no conversation"):
        export_to(filled, "dpo", tmp_path / "data.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_file_that_is_there_is_not_written_over(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.jsonl").write_text("mine")
    monkeypatch.setattr("deploy.export.read_settings", lambda: filled)
    assert main(["messages", str(tmp_path / "data.jsonl")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["messages", str(tmp_path / "other.jsonl")]) == 0
    assert (tmp_path / "data.jsonl").read_text() == "mine"
