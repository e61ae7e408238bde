"""Child processes that leave nothing behind: each its own session, all marked, all found again and ended."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "WHETSTONE_STACK"

# How long what a service started may outlive it before it is told to end as well.
_ORPHAN_SECONDS = 2.0
# What is killed may have started one more just before.
_ROUNDS = 3


def spawn(
    argv: Iterable[str], *, mark: str, log: Path, cwd: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A process in a session of its own, its output appended to `log`, its environment carrying the mark."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # SPT_NOENV: Ray renames its workers, which would otherwise wipe the mark out of their environment.
    marked = {**os.environ, **environment, MARK: mark, "SPT_NOENV": "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=marked,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that it started, as far as they are still connected."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def marked(mark: str) -> list[psutil.Process]:
    """Every running process whose mark is this one or begins with it and a slash, whoever its parent is now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if process.pid != os.getpid() and f"{process.environ().get(MARK)}/".startswith(f"{mark}/"):
                found.append(process)
    return found


def end(
    leaders: Iterable[int] = (), *, known: Iterable[psutil.Process] = (), mark: str | None = None, grace: float = 30
) -> int:
    """Ends the leaders, then what is left of theirs, of `known` and of `mark`; how many had to be killed.

    A leader is asked alone: Ray's own processes, told at the same time, would be gone before it could drain.
    """
    leaders = list(leaders)
    ours = {process for pid in leaders for process in tree(pid)} | set(known)
    for pid in leaders:
        with suppress(psutil.NoSuchProcess):
            _signal(psutil.Process(pid), signal.SIGTERM)
    _wait([member for pid in leaders for member in tree(pid)[:1]], None, grace)
    if leaders:
        _wait(_rest(ours, mark), mark, min(_ORPHAN_SECONDS, grace / 5))
    rest = _rest(ours, mark)
    for process in rest:
        _signal(process, signal.SIGTERM)
    _wait(rest, mark, grace)
    killed = 0
    for _ in range(_ROUNDS):
        rest = _rest(ours, mark)
        for process in rest:
            _signal(process, signal.SIGKILL)
        killed += len(rest)
        psutil.wait_procs(rest, timeout=2)
    return killed


def _rest(ours: Iterable[psutil.Process], mark: str | None) -> list[psutil.Process]:
    return list({process for process in ours if _alive(process)} | set(marked(mark) if mark else ()))


def _wait(processes: Iterable[psutil.Process], mark: str | None, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    waiting = list(processes)
    while waiting and (left := deadline - time.monotonic()) > 0:
        psutil.wait_procs(waiting, timeout=min(0.5, left))
        waiting = _rest(waiting, mark)


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
