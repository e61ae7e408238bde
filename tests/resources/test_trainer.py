import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.progress import Progress
from resources.store_errors import Fenced, StoreUnavailable
from resources.trainer import TrainerFailed, TrainerProcess
from resources.versions import Claim

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("fake_trainer.py")
CLAIM = Claim(n=7, fence=3, attempt=1, state="open", resumed=False)
PATIENCE_SECONDS = 30


def trainer(what: str, folder: Path, **options) -> TrainerProcess:
    return TrainerProcess(
        [sys.executable, str(SCRIPT), what, str(folder)],
        log_dir=folder / "logs",
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
        poll_seconds=0.02,
        **options,
    )


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class Stop(BaseException):
    """Stands for DagsterExecutionInterruptedError and KeyboardInterrupt."""


def interrupt_when_running(folder: Path, seen: list[Progress]) -> Callable[[], Progress]:
    def latest() -> Progress:
        if (folder / "running").exists():
            raise Stop
        return Progress(0, 1, None, None, None, None, "training", 7)

    return latest


def test_a_trainer_that_ends_well_was_told_stage_version_fence_and_parent(tmp_path: Path) -> None:
    trainer("done", tmp_path).run("evaluate", CLAIM)
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked == {"--stage": "evaluate", "--version": "7", "--fence": "3", "--parent": str(os.getpid())}


def test_what_the_trainer_says_last_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailed) as caught:
        trainer("fails", tmp_path).run("train", CLAIM)
    assert (caught.value.error_class, caught.value.message, caught.value.returncode) == (
        "DISK_ERROR",
        "No space left",
        1,
    )


@pytest.mark.parametrize(
    ("what", "error_class", "returncode"),
    [
        ("status-1", "UNKNOWN_ERROR", 1),
        ("status-143", "INTERRUPTED", 143),
        ("kills-itself", "UNKNOWN_ERROR", -9),
    ],
)
def test_an_end_without_a_word_is_named_by_its_status(
    tmp_path: Path, what: str, error_class: str, returncode: int
) -> None:
    with pytest.raises(TrainerFailed) as caught:
        trainer(what, tmp_path).run("train", CLAIM)
    assert (caught.value.error_class, caught.value.returncode) == (error_class, returncode)


def test_a_kill_for_memory_is_told_from_another_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = iter([4, 5])
    monkeypatch.setattr("resources.trainer._kernel_kills", lambda: next(kills))
    with pytest.raises(TrainerFailed, match="OUT_OF_MEMORY"):
        trainer("kills-itself", tmp_path).run("train", CLAIM)


def test_a_fenced_out_trainer_is_no_failure_of_the_version(tmp_path: Path) -> None:
    with pytest.raises(Fenced, match="fence 3"):
        trainer("status-76", tmp_path).run("train", CLAIM)


def test_progress_is_relayed_once_each_and_that_of_another_version_not_at_all(tmp_path: Path) -> None:
    first, second = (Progress(step, 9, 1.0, 1e-3, 5.0, 1.0, "training", 7) for step in (1, 2))
    other = Progress(5, 9, 1.0, 1e-3, 5.0, 1.0, "training", 6)
    reports = iter([None, first, first, other, second, second])
    told: list[Progress] = []

    def latest() -> Progress | None:
        try:
            return next(reports)
        except StopIteration:
            raise Stop from None

    with pytest.raises(Stop):
        trainer("waits", tmp_path, latest=latest).run("train", CLAIM, told.append)
    assert told == [first, second]


def test_a_store_that_is_away_does_not_end_training(tmp_path: Path) -> None:
    answers = iter([StoreUnavailable("gone"), StoreUnavailable("gone"), Stop()])

    def latest() -> Progress | None:
        raise next(answers)

    with pytest.raises(Stop):
        trainer("waits", tmp_path, latest=latest).run("train", CLAIM)


def test_an_interrupted_caller_leaves_a_saved_checkpoint_and_no_process_of_the_group(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        trainer("with-helper", tmp_path, latest=interrupt_when_running(tmp_path, [])).run("train", CLAIM)
    assert (tmp_path / "saved").read_text() == "checkpoint"
    assert not is_alive(int((tmp_path / "running").read_text()))
    wait_until(lambda: not is_alive(int((tmp_path / "helper").read_text())))


def test_a_trainer_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    deaf = trainer("deaf", tmp_path, latest=interrupt_when_running(tmp_path, []), grace_seconds=0.2)
    with pytest.raises(Stop):
        deaf.run("train", CLAIM)
    assert not is_alive(int((tmp_path / "running").read_text()))
    assert not (tmp_path / "saved").exists()


def test_the_trainer_has_its_own_session_and_goes_first_when_memory_runs_out(tmp_path: Path) -> None:
    found: list[tuple[int, str]] = []

    def latest() -> Progress | None:
        if (tmp_path / "running").exists():
            pid = int((tmp_path / "running").read_text())
            found.append((os.getsid(pid), Path(f"/proc/{pid}/oom_score_adj").read_text().strip()))
            raise Stop
        return None

    with pytest.raises(Stop):
        trainer("waits", tmp_path, latest=latest).run("train", CLAIM)
    assert found == [(int((tmp_path / "running").read_text()), "800")]


@pytest.mark.slow
def test_a_killed_parent_takes_the_trainer_with_it_after_its_checkpoint(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.resources.test_trainer import CLAIM, trainer\n"
        "trainer('waits', Path(sys.argv[1])).run('train', CLAIM)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    try:
        wait_until((tmp_path / "running").exists)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until((tmp_path / "saved").exists)
    wait_until(lambda: not is_alive(int((tmp_path / "running").read_text())))


def test_a_trainer_whose_parent_is_gone_already_does_not_begin(tmp_path: Path) -> None:
    nobody = ["--stage", "train", "--version", "7", "--fence", "3", "--parent", "999999999"]
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "waits", str(tmp_path), *nobody],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 143
    assert not (tmp_path / "running").exists()


def test_a_trainer_can_be_run_from_a_thread_that_is_not_the_main_one(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            trainer("done", tmp_path).run("train", CLAIM)
        except BaseException as error:  # noqa: BLE001 - shown to the test
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert not errors


def test_a_trainer_that_stands_still_is_ended_as_a_failed_attempt(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailed, match="No step for 1 s") as caught:
        trainer("stands-still", tmp_path, silence_seconds=1.0, grace_seconds=0.1).run("train", CLAIM)
    assert caught.value.error_class == "UNKNOWN_ERROR"
    assert not is_alive(int((tmp_path / "running").read_text()))


def test_a_trainer_that_steps_may_take_its_time(tmp_path: Path) -> None:
    trainer("steps", tmp_path, silence_seconds=1.0).run("train", CLAIM)
