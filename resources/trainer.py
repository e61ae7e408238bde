"""The trainer as its own process: started for one stage, watched, and never left behind."""

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from core.error_classes import ErrorClass
from resources.progress import Progress
from resources.store_errors import Fenced, StoreUnavailable
from resources.versions import Claim

Stage = Literal["train", "evaluate"]

SILENCE_SECONDS = 3600.0

# Exit statuses of train.py beside 0 and 1.
FENCED_OUT = 76
INTERRUPTED = 143

_TAIL_BYTES = 64 * 1024


class TrainerFailed(RuntimeError):
    """The trainer ended without finishing its stage."""

    def __init__(self, error_class: ErrorClass, message: str, returncode: int) -> None:
        super().__init__(f"{error_class}: {message}")
        self.error_class = error_class
        self.message = message
        self.returncode = returncode


class Trainer(ABC):
    @abstractmethod
    def run(self, stage: Stage, claim: Claim, on_progress: Callable[[Progress], None] = lambda progress: None) -> None:
        """Finish one stage of a version; TrainerFailed says why not, Fenced that the claim is lost."""


class TrainerProcess(Trainer):
    """Runs `command --stage … --version … --fence … --parent …` in a session of its own.

    The trainer asks the kernel for SIGTERM when the thread that called `run` dies (`resources.process`); it outlives a
    SIGKILL of this process only for the time it needs to save its checkpoint. One that shows no sign of life
    (`resources.process`) for `silence_seconds` hangs, and is ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_dir: Path,
        latest: Callable[[], Progress | None] = lambda: None,
        environment: Mapping[str, str] | None = None,
        poll_seconds: float = 0.5,
        grace_seconds: float = 30.0,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._command = list(command)
        self._log_dir = log_dir
        self._latest = latest
        self._environment = None if environment is None else dict(environment)
        self._poll_seconds = poll_seconds
        self._grace_seconds = grace_seconds
        self._silence_seconds = silence_seconds

    def run(self, stage: Stage, claim: Claim, on_progress: Callable[[Progress], None] = lambda progress: None) -> None:
        arguments = ["--stage", stage, "--version", str(claim.n), "--fence", str(claim.fence)]
        relay = _Relay(self._latest, claim.n, on_progress)
        if self._finished(arguments, f"trainer-v{claim.n}.err", relay) == FENCED_OUT:
            raise Fenced(f"The trainer of v{claim.n} stopped: fence {claim.fence} is no longer the newest")

    def evaluate_again(self, n: int, evaluation: int, go_on: Callable[[], None]) -> None:
        """Measure version n once more, for the evaluation of that number; TrainerFailed says why not.

        `go_on` is called while it lasts, and ends it by raising.
        """
        arguments = ["--stage", "again", "--version", str(n), "--evaluation", str(evaluation)]
        self._finished(arguments, f"evaluation-{evaluation}.err", go_on)

    def _finished(self, arguments: Sequence[str], errors: str, each: Callable[[], None]) -> int:
        """0 or FENCED_OUT."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        kills = _kernel_kills()
        process = self._start(arguments, self._log_dir / errors)
        returncode = self._wait(process, each, _Silence(self._log_dir / errors))
        if returncode not in (0, FENCED_OUT):
            raise _failure(returncode, self._log_dir / errors, killed_for_memory=_kernel_kills() > kills)
        return returncode

    def _start(self, arguments: Sequence[str], errors: Path) -> "subprocess.Popen[bytes]":
        with errors.open("wb") as sink:
            process = subprocess.Popen(
                [*self._command, *arguments, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self._environment,
                start_new_session=True,
            )
        _prefer_for_memory_kill(process.pid)
        return process

    def _wait(self, process: "subprocess.Popen[bytes]", each: Callable[[], None], silence: "_Silence") -> int:
        try:
            while True:
                try:
                    return process.wait(self._poll_seconds)
                except subprocess.TimeoutExpired:
                    each()
                    if silence.seconds() >= self._silence_seconds:
                        raise self._hangs() from None
        except BaseException:
            self._end(process)
            raise

    def _hangs(self) -> TrainerFailed:
        # not INTERRUPTED: that uses up no attempt, and one that hangs each time would be begun again for ever
        message = (
            f"No step for {self._silence_seconds:g} s: the trainer hung and was ended, the next attempt goes on from "
            "its last checkpoint; where a step may take as long, set TRAINER_SILENCE_SECONDS higher"
        )
        return TrainerFailed("UNKNOWN_ERROR", message, -signal.SIGKILL)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """SIGTERM to the whole group, time to save a checkpoint, then SIGKILL."""
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(self._grace_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()


class _Silence:
    """For how long a file was not touched, on our own clock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: int | None = None
        self._since = time.monotonic()

    def seconds(self) -> float:
        try:
            touched = self._path.stat().st_mtime_ns
        except OSError:
            touched = None
        if touched != self._seen:
            self._seen, self._since = touched, time.monotonic()
        return time.monotonic() - self._since


class _Relay:
    """Tells of each new progress of version n."""

    def __init__(self, latest: Callable[[], Progress | None], n: int, on_progress: Callable[[Progress], None]) -> None:
        self._latest, self._n, self._on_progress = latest, n, on_progress
        self._seen: Progress | None = None

    def __call__(self) -> None:
        try:
            progress = self._latest()
        except StoreUnavailable:
            return  # training goes on without an audience
        if progress is None or progress == self._seen or progress.version not in (None, self._n):
            return
        self._seen = progress
        self._on_progress(progress)


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    # the group may outlive its leader, and its number is not given out again while it does
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _prefer_for_memory_kill(pid: int) -> None:
    """Should memory run out, the kernel ends the trainer, which has checkpoints, and not the engine or the store."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text("800", encoding="ascii")
    except OSError:
        return  # not Linux, or already gone: nothing depends on it


def _kernel_kills() -> int:
    """How many processes the kernel has ended for memory since it started; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _failure(returncode: int, errors: Path, *, killed_for_memory: bool) -> TrainerFailed:
    said = _last_word(errors)
    if said is not None:
        return TrainerFailed(said["error_class"], said["message"], returncode)
    if returncode == -signal.SIGKILL and killed_for_memory:
        return TrainerFailed("OUT_OF_MEMORY", "The kernel ended the trainer: the machine ran out of memory", -9)
    if returncode in (-signal.SIGTERM, INTERRUPTED, -signal.SIGINT):
        return TrainerFailed("INTERRUPTED", "The trainer was told to stop", returncode)
    how = f"by signal {-returncode}" if returncode < 0 else f"with status {returncode}"
    return TrainerFailed("UNKNOWN_ERROR", f"The trainer ended {how} without a word; see {errors.name}", returncode)


def _last_word(errors: Path) -> dict[str, ErrorClass] | None:
    """The trainer's own account: the last line of its errors that is a JSON object with class and message."""
    with errors.open("rb") as file:
        file.seek(max(0, errors.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and {"error_class", "message"} <= said.keys():
            return said
    return None
