"""Before a start: each thing that is missing is one sentence that says what to do."""

import socket
from pathlib import Path

import pytest

from resources import preflight
from resources.preflight import GIB, PreflightFailed, available_memory, check
from resources.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine on which everything holds."""
    monkeypatch.setattr(preflight, "available_memory", lambda: 8 * GIB)
    monkeypatch.setattr(preflight, "resolve", lambda base_model, models_dir: tmp_path)
    return Settings(state_dir=tmp_path / "state", models_dir=tmp_path / "models")


def refusal(settings: Settings, ports: tuple[str, ...] = ()) -> str:
    with pytest.raises(PreflightFailed) as caught:
        check(settings, ports)
    return str(caught.value)


def test_a_machine_that_has_everything_passes_and_nothing_is_written(settings: Settings) -> None:
    check(settings, ())
    assert not settings.state_dir.exists()


def test_a_taken_port_is_named_with_its_setting(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = settings.model_copy(update={"dagster_port": port})
        message = refusal(taken, ("dagster_port",))
    assert message.startswith(f"Port {port} on 127.0.0.1 is taken: ")
    assert "set DAGSTER_PORT to a free port" in message
    check(taken, ("dagster_port",))


def test_a_missing_model_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert "run `make setup`" in refusal(settings)


def test_too_little_memory_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: 3 * GIB)
    assert refusal(settings).startswith("3.0 GiB of memory are free, the engine needs 4.0 GiB: ")


def test_too_little_disk_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "NEEDED_DISK_BYTES", 10**9 * GIB)
    assert "set STATE_DIR to a folder on another disk" in refusal(settings)


def test_every_reason_is_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: 0)
    monkeypatch.setattr(preflight, "NEEDED_DISK_BYTES", 10**9 * GIB)
    assert len(refusal(settings).splitlines()) == 2


def test_the_limit_of_a_container_counts_where_it_is_less(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")
    assert available_memory(tmp_path, tmp_path) == 8 * GIB
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    assert available_memory(tmp_path, tmp_path) == 3 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path, tmp_path) == 8 * GIB
