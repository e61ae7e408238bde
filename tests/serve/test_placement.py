"""Whether the parts fit onto the GPUs that are there, and what a person is told where they do not."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resources.settings import ROOT, Settings, SettingsError, read_settings
from serve.placement import Part, PlacementRefused, autoscaling, fits, most_engines, placed


def settings(**chosen: Any) -> Settings:
    return read_settings(state_dir=Path("unused"), **chosen)


def refusal(gpus: float | None, **chosen: Any) -> str:
    with pytest.raises(PlacementRefused) as refused:
        placed(settings(**chosen), gpus)
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    return said


def test_without_a_gpu_all_runs_on_the_cpu_and_with_one_the_engine_takes_its_usual_share() -> None:
    cpu, gpu = placed(settings(), 0), placed(settings(), 1)
    assert (cpu.on_gpu, cpu.taking, cpu.engine.actor_options(1)) == (False, [], {"num_cpus": 1})
    assert (gpu.engine.share, gpu.engine.memory) == (0.45, 0.45)
    assert gpu.engine.actor_options(1) == {"num_cpus": 1, "num_gpus": 0.45}
    assert not placed(settings(engine_gpu_fraction=0), 1).on_gpu


def test_two_engines_and_the_rest_fill_one_gpu() -> None:
    shares = {"engine_gpu_fraction": 0.7, "second_engine_gpu_fraction": 0.2, "rest_gpu_fraction": 0.1}
    found = placed(settings(**shares), 1)
    assert [part.share for part in found.taking] == [0.7, 0.2, 0.1]
    assert (found.engine.memory, found.second.memory) == (0.7, 0.2)
    said = refusal(1, **shares, agent_gpu_fraction=0.05)
    assert "0.7 for the engine (ENGINE_GPU_FRACTION)" in said
    assert "make 1.05 and do not fit on 1 GPU: take smaller shares." in said


@pytest.mark.parametrize(
    "name", ["engine_gpu_fraction", "second_engine_gpu_fraction", "agent_gpu_fraction", "rest_gpu_fraction"]
)
def test_a_share_of_a_gpu_that_is_not_there_is_refused(name: str) -> None:
    said = refusal(0, **{name: 0.5})
    assert f"{name.upper()}=0.5 needs a GPU" in said
    assert "remove it" in said


def test_more_memory_than_the_share_is_refused() -> None:
    assert "ENGINE_GPU_MEMORY=0.9 is more" in refusal(1, engine_gpu_fraction=0.5, engine_gpu_memory=0.9)
    assert placed(settings(engine_gpu_fraction=0.5, engine_gpu_memory=0.5), 1).engine.memory == 0.5
    assert placed(settings(engine_gpu_fraction=1), 1).engine.memory == 0.95  # vLLM's context needs some too


def test_a_second_engine_beside_one_on_the_cpu_is_refused() -> None:
    assert "ENGINE_GPU_FRACTION=0" in refusal(1, engine_gpu_fraction=0, second_engine_gpu_fraction=0.2)


def test_no_replica_is_split_over_two_gpus() -> None:
    assert fits([Part("", "", 0.5, 4)], 2)
    assert not fits([Part("", "", 0.6, 3)], 2)
    assert fits([Part("", "", 0.7), Part("", "", 0.2), Part("", "", 0.1)], 1)
    assert fits([Part("", "", 0.1, 10)], 1)  # ten times 0.1 is more than 1 in floating point
    assert not fits([Part("", "", 0.1, 11)], 1)
    said = refusal(2, engine_gpu_fraction=0.6, engine_replicas=3)
    assert "3 × 0.6 for the engine" in said
    assert "lies on one GPU whole: take smaller shares or fewer replicas" in said


def test_the_most_there_may_be_have_to_fit() -> None:
    chosen = {"engine_gpu_fraction": 0.5, "engine_max_replicas": 3}
    assert "3 × 0.5" in refusal(1, **chosen)
    assert placed(settings(**chosen), 2).engine.replicas == 3
    assert most_engines(settings(**chosen)) == 3
    assert most_engines(settings(engine_replicas=2, second_engine_gpu_fraction=0.1)) == 3


def test_where_the_gpus_are_not_known_the_shares_are_taken_at_their_word() -> None:
    assert placed(settings(engine_gpu_fraction=1, engine_replicas=8), None).on_gpu
    assert not placed(settings(), None).on_gpu


def test_their_number_stays_or_follows_the_load_and_is_never_none() -> None:
    assert autoscaling(settings(engine_replicas=2)) == {"num_replicas": 2}
    scaled = autoscaling(settings(engine_max_replicas=4, engine_max_sequences=6))["autoscaling_config"]
    assert scaled == {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 6, "initial_replicas": 1}
    target = autoscaling(settings(engine_max_replicas=4, engine_target_requests=2))["autoscaling_config"]
    assert target["target_ongoing_requests"] == 2
    with pytest.raises(SettingsError, match="ENGINE_MAX_REPLICAS=1 is less than ENGINE_REPLICAS=2"):
        settings(engine_replicas=2, engine_max_replicas=1)
    with pytest.raises(SettingsError, match="ENGINE_REPLICAS"):
        settings(engine_replicas=0)


@pytest.mark.slow
@pytest.mark.engine
def test_a_start_without_the_gpu_that_is_asked_for_ends_with_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "STATE_DIR": str(tmp_path), "FASTAPI_PORT": "0", "ENGINE_GPU_FRACTION": "0.5"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment["FASTAPI_PORT"] = str(probe.getsockname()[1])
    done = subprocess.run(
        [sys.executable, "-m", "serve.app"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    [said] = done.stderr.strip().splitlines()
    assert said.startswith("ENGINE_GPU_FRACTION=0.5 needs a GPU, and Ray sees none here")
