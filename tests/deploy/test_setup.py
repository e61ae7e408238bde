"""The set-up, without installing anything: what it would install, what it skips, and what it says when it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy import setup
from resources.settings import ROOT


def test_the_cpu_machine_gets_the_cpu_build_of_torch_first() -> None:
    assert setup._wanted("cpu", dev=False).startswith("torch==2.13.0+cpu")
    assert setup._wanted("gpu", dev=False).startswith("torch==2.13.0 ")


def test_nothing_that_breaks_the_cpu_build_is_in_its_locks() -> None:
    for name in ("cpu", "dev"):
        assert not {"torchvision", "torchaudio", "torchcodec", "llama-cpp-python"} & setup._lock(name).keys()


def test_every_package_of_every_lock_has_a_hash_and_no_lock_names_an_address() -> None:
    for name in ("cpu", "gpu", "dev"):
        assert all("--hash=sha256:" in entry for entry in setup._lock(name).values())
        text = (ROOT / "requirements" / f"{name}.lock").read_text()
        assert "://" not in text
        assert "--find-links" not in text


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_tools_of_the_tests_come_on_top_of_the_machines_own_packages(device: str) -> None:
    plain, dev = setup._wanted(device, dev=False), setup._wanted(device, dev=True)
    assert dev.startswith(plain)
    assert "\npytest==" in dev
    assert "\npytest==" not in plain


def test_the_locks_of_tests_and_machine_agree() -> None:
    cpu, dev = setup._lock("cpu"), setup._lock("dev")
    versions = {name: entry.split()[0] for name, entry in dev.items()}
    assert {name: entry.split()[0] for name, entry in cpu.items()}.items() <= versions.items()


def test_what_is_installed_already_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    installed: list[int] = []
    monkeypatch.setattr(setup, "VENV", tmp_path)
    monkeypatch.setattr(setup, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(setup, "_make_venv", lambda: None)
    monkeypatch.setattr(setup, "_install", lambda lock, number: installed.append(number))
    monkeypatch.setenv("WHETSTONE_DEVICE", "cpu")
    setup._packages(dev=True)
    setup._packages(dev=True)
    setup._packages(dev=False)
    assert len(installed) == 1, "the packages of the tests hold those of a plain start"
    monkeypatch.setenv("WHETSTONE_DEVICE", "gpu")
    setup._packages(dev=False)
    assert len(installed) == 2


def test_a_missing_cpu_build_is_one_sentence_with_the_remedy() -> None:
    said = setup._why("ERROR: No matching distribution found for torch==2.13.0+cpu\n")
    assert "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup" in said
    assert "\n" not in said


def test_another_python_is_refused_with_its_version() -> None:
    script = "import runpy, sys; sys.version_info = (3, 12, 1); runpy.run_path('deploy/setup.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("setup: Python 3.11 is needed")
    assert "this is 3.12" in done.stderr


def test_an_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHETSTONE_DEVICE", "tpu")
    with pytest.raises(setup.SetupFailed, match="expected cpu or gpu"):
        setup._device()
