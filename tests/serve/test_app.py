import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources import preflight
from resources.settings import ROOT, Settings
from serve import app, cluster
from serve.placement import Part, placed
from serve.vllm_compat import EngineOptions

ON_CPU, ON_GPU = Part("the engine", "X"), Part("the engine", "X", 0.5, memory=0.5)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder and a model folder that only looks like one; a start would fail the test."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (model / name).write_text("{}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("FASTAPI_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BASE_MODEL", str(model))
    monkeypatch.setattr(app, "start", lambda settings: pytest.fail("must not start"))
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    assert app.main() == preflight.EXIT_STATUS
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    return said


def test_a_taken_port_is_one_sentence_at_start(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("FASTAPI_PORT", str(port))
        assert f"Port {port}" in refusal(capsys)


def test_a_missing_model_is_one_sentence_at_start(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BASE_MODEL", str(state / "nowhere"))
    assert "BASE_MODEL" in refusal(capsys)


def test_a_setting_out_of_range_is_one_sentence_at_start(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINE_ADAPTERS", "0")
    assert "ENGINE_ADAPTERS" in refusal(capsys)


def test_an_open_address_without_keys_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")  # noqa: S104 - the point of the test
    assert "ENABLE_AUTH" in refusal(capsys)


def test_without_a_gpu_the_cache_has_a_fixed_size_and_with_one_a_share(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, engine_adapters=4, engine_gpu_fraction=0.3, finetune_lora_rank=24)
    cpu = cluster.options_for(settings, tmp_path, ON_CPU)
    gpu = cluster.options_for(settings, tmp_path, placed(settings, 1).engine)
    assert (cpu.kv_cache_bytes, cpu.memory_share) == (settings.engine_kv_cache_bytes, EngineOptions("m").memory_share)
    assert (gpu.kv_cache_bytes, gpu.memory_share) == (None, 0.3)
    assert (cpu.max_num_seqs, gpu.max_num_seqs) == (settings.engine_max_sequences, None)
    chosen = cluster.options_for(Settings(state_dir=tmp_path, engine_max_sequences=5), tmp_path, ON_GPU)
    assert chosen.max_num_seqs == 5
    assert cpu.arguments()["enforce_eager"] is True
    assert gpu.arguments()["enforce_eager"] is False


def test_there_is_one_lora_slot_more_than_adapters_and_room_for_their_rank(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, engine_adapters=4, finetune_lora_rank=24)
    arguments = cluster.options_for(settings, tmp_path, ON_CPU).arguments()
    assert (arguments["max_loras"], arguments["max_cpu_loras"], arguments["max_lora_rank"]) == (5, 5, 32)


def test_every_process_of_the_stack_finds_our_code_and_tells_nobody(tmp_path: Path) -> None:
    found = app.environment(Settings(state_dir=tmp_path, engine_threads=1))
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
    assert found["VLLM_NO_USAGE_STATS"] == found["DO_NOT_TRACK"] == found["HF_HUB_OFFLINE"] == "1"
    assert found["RAY_USAGE_STATS_ENABLED"] == "0"
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == str(min(os.sched_getaffinity(0)))
    assert "VLLM_CPU_OMP_THREADS_BIND" not in app.environment(Settings(state_dir=tmp_path))


def test_a_share_of_a_gpu_that_is_not_there_is_one_sentence_at_start(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINE_GPU_FRACTION", "0.5")
    monkeypatch.setattr(app, "start", lambda settings: placed(settings, 0))
    assert "ENGINE_GPU_FRACTION=0.5 needs a GPU" in refusal(capsys)


def test_an_application_is_made_when_it_is_asked_for_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, float | None]] = []
    monkeypatch.setattr(cluster, "application", lambda settings, gpus: made.append((settings.base_model, gpus)))
    app.build({"base_model": "elsewhere", "gpus": "2"})
    getattr(app, "app")  # noqa: B009 - what `serve build serve.app:app` does
    assert made == [("elsewhere", 2.0), (Settings().base_model, None)]
    with pytest.raises(AttributeError):
        getattr(app, "application")  # noqa: B009


def test_what_was_deployed_wins_over_the_settings_unless_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    own = app.read_settings()
    deployed = app.as_deployed(own, {"engine_replicas": 2})
    assert (deployed.engine_replicas, deployed.state_dir) == (2, tmp_path)
    assert app.as_deployed(own, {}) is own
    assert app.as_deployed(own, {"engine_replicas": 3, "engine_max_replicas": 2}) is own
    assert "is left out" in caplog.text
    begun: list[object] = []

    def start(settings: Settings) -> None:
        begun.append(settings)
        placed(settings, 0)

    monkeypatch.setattr(app, "start", start)
    app._start_either(own.model_copy(update={"engine_gpu_fraction": 0.5}), own)
    assert begun[-1] is own
