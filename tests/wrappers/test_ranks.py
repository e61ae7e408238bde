"""Two processes that train together end where one alone does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.free_ports import free_ports
from resources.settings import ROOT
from tests.wrappers.two_ranks import trained
from wrappers.lora_model import trainable
from wrappers.ranks import ALONE, Ranks, environment, join


def test_rows_are_dealt_out_and_every_one_is_somebodys() -> None:
    rows = ["a", "b", "c", "d", "e"]
    shares = [Ranks(index, 2).mine(rows) for index in range(2)]
    assert shares == [["a", "c", "e"], ["b", "d"]]
    assert Ranks(3, 4).mine(["a"]) == []


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join() is ALONE
    gradient = torch.ones(2)
    assert ALONE.summed(1.5, [gradient]) == (1.5, [gradient])
    assert ALONE.any(True, "cpu")
    assert not ALONE.any(False, "cpu")


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one_and_stop_at_the_same_step(tiny_model: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    others = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.wrappers.two_ranks", str(tiny_model), str(tmp_path)],
            env={**os.environ, **environment(index, 2, port), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
        )
        for index in range(2)
    ]
    alone = trained(tiny_model, ALONE)
    assert [other.wait(120) for other in others] == [0, 0]
    for index in range(2):
        found = load_file(tmp_path / f"{index}.safetensors")
        for name, expected in trainable(alone._model).items():
            torch.testing.assert_close(found[name], expected.detach(), atol=1e-5, rtol=1e-4)
        assert (tmp_path / f"{index}.stopped").read_text() == "1"


@pytest.mark.slow
def test_who_waits_for_one_that_is_gone_is_told() -> None:
    program = (
        "import os, sys; from wrappers.together import together\n"
        "with together([sys.executable, '-c', 'raise SystemExit(3)'], 2, lambda: os._exit(9)): pass\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=120, check=False).returncode == 9
