import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from serve import ray_folder
from serve.ray_folder import OWNER, make_folder, remove_orphans

MAKE = "from serve.ray_folder import make_folder; print(make_folder())"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def orphan() -> Path:
    """Made by a process that is no more."""
    made = subprocess.run([sys.executable, "-c", MAKE], capture_output=True, text=True, check=True)
    return Path(made.stdout.strip())


def test_the_folder_of_a_process_that_is_no_more_goes_with_what_still_runs_in_it(temporary: Path) -> None:
    folder = orphan()
    assert folder.parent == temporary
    sleeping = "import sys, time; print(1, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", sleeping, f"--temp-dir={folder}"]
    other = [sys.executable, "-c", sleeping, f"--temp-dir={folder}-of-somebody-else"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as left,
        subprocess.Popen(other, stdout=subprocess.PIPE) as stranger,
    ):
        for process in (left, stranger):
            assert process.stdout
            process.stdout.readline()
        try:
            assert remove_orphans() == [folder]
            assert not Path(f"/proc/{left.pid}").exists()
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert not folder.exists()


def test_the_folder_of_a_process_that_lives_stays() -> None:
    folder = make_folder()
    assert remove_orphans() == []
    assert folder.exists()


def test_a_process_that_got_the_number_of_the_owner_is_not_the_owner() -> None:
    folder = make_folder()
    owner = json.loads((folder / OWNER).read_text())
    (folder / OWNER).write_text(json.dumps({**owner, "began": owner["began"] - 1}))
    assert remove_orphans() == [folder]


def test_an_owner_of_another_container_is_not_for_us_to_judge() -> None:
    folder = make_folder()
    owner = json.loads((folder / OWNER).read_text())
    (folder / OWNER).write_text(json.dumps({**owner, "pid": 2**30, "namespace": "pid:[1]"}))
    assert remove_orphans() == []
    (folder / OWNER).write_text(json.dumps({**owner, "pid": 2**30, "namespace": "pid:[1]", "boot": "an earlier one"}))
    assert remove_orphans() == [folder]


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"pid": "x"}'])
def test_a_folder_that_does_not_say_whose_it_is_stays(temporary: Path, content: str | None) -> None:
    folder = temporary / "whetstone-strange"
    folder.mkdir()
    if content is not None:
        (folder / OWNER).write_text(content)
    assert remove_orphans() == []
    assert folder.exists()


def test_a_folder_of_another_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = orphan()
    user = os.getuid()
    monkeypatch.setattr(ray_folder.os, "getuid", lambda: user + 1)
    assert remove_orphans() == []
    assert folder.exists()
