"""When the environment of a peer is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import peers


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been started, in a repository that has one lock."""
    started: list[list[str]] = []

    def run(command: Sequence[Any], check: bool) -> None:
        started.append([str(part) for part in command])
        (tmp_path / "var/peers/it").mkdir(parents=True, exist_ok=True)

    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/peers-it.lock").write_text("it==1\n")
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    monkeypatch.setattr(peers, "PEERS", tmp_path / "var/peers")
    monkeypatch.setattr(peers.subprocess, "run", run)
    return started


def test_an_environment_is_made_once_from_its_lock_alone(runs: list[list[str]], tmp_path: Path) -> None:
    assert peers.environment("it") == peers.environment("it") == tmp_path / "var/peers/it/bin/python"
    made, installed = runs
    assert made[1:3] == ["-m", "venv"]
    assert {"--no-deps", "--require-hashes", str(tmp_path / "requirements/peers-it.lock")} <= set(installed)


def test_another_lock_makes_it_again(runs: list[list[str]], tmp_path: Path) -> None:
    peers.environment("it")
    (tmp_path / "requirements/peers-it.lock").write_text("it==2\n")
    peers.environment("it")
    assert len(runs) == 4


def test_one_that_failed_half_way_is_made_again(
    runs: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = peers.subprocess.run

    def torn(command: Sequence[Any], check: bool) -> None:
        whole(command, check=check)
        if "pip" in command:
            raise peers.subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(peers.subprocess, "run", torn)
    with pytest.raises(peers.subprocess.CalledProcessError):
        peers.environment("it")
    monkeypatch.setattr(peers.subprocess, "run", whole)
    peers.environment("it")
    assert len(runs) == 4
