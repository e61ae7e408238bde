"""The note in the state folder that says which stack runs there, so that another terminal can end it."""

import fcntl
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from deploy import processes

DOWN_SECONDS = 90.0


class AlreadyUp(RuntimeError):
    """Another stack runs on this state folder."""


class Claim:
    """This process's hold on a state folder; the kernel lets go of it when the process dies."""

    def __init__(self, state_dir: Path, mark: str) -> None:
        self._state_dir = state_dir
        self._mark = mark
        self._descriptor: int | None = None

    def take(self, say: Callable[[str], None] = print) -> None:
        """Takes the folder; ends first what a supervisor that was killed left running."""
        self._state_dir.mkdir(parents=True, exist_ok=True)
        self._descriptor = lock(self._state_dir)
        if left := _read(self._state_dir):
            _sweep(left, say)
        _write(
            self._state_dir,
            {"mark": self._mark, "pid": os.getpid(), "started": psutil.Process().create_time()},
        )

    def release(self) -> None:
        """Gives the folder back; nothing when it was not taken."""
        if self._descriptor is not None:
            (self._state_dir / "stack.json").unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def lock(state_dir: Path) -> int:
    """An open descriptor that holds the folder until it is closed; AlreadyUp when another process has it."""
    descriptor = os.open(state_dir / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyUp(f"Whetstone is up in {state_dir}: end it with `make down` first.") from None
    return descriptor


def down(state_dir: Path, say: Callable[[str], None] = print) -> int:
    """Ends the stack of this folder from another terminal; 0 also when none runs."""
    record = _read(state_dir)
    if record is None:
        say(f"nothing is up in {state_dir}")
        return 0
    supervisor = _supervisor(record)
    if supervisor is not None:
        say(f"ending the stack of {state_dir} (process {supervisor.pid})")
        supervisor.terminate()
        try:
            supervisor.wait(DOWN_SECONDS)
        except psutil.TimeoutExpired:
            supervisor.kill()
    _sweep(record, say)
    left = processes.marked(record["mark"])
    if left:
        print(f"still running: {', '.join(str(process.pid) for process in left)}; end them by hand", file=sys.stderr)
        return 1
    if _read(state_dir) == record:
        (state_dir / "stack.json").unlink(missing_ok=True)
    say("down; nothing is left running")
    return 0


def status(state_dir: Path, say: Callable[[str], None] = print) -> int:
    """Says what runs; status 0 when a stack is up, 3 when none is."""
    record = _read(state_dir)
    running = processes.marked(record["mark"]) if record else []
    if record is None or not (running or _supervisor(record)):
        say(f"nothing is up in {state_dir}")
        return 3
    say(f"up in {state_dir}: supervisor {record['pid']}, {len(running)} processes")
    return 0


def _sweep(record: dict[str, Any], say: Callable[[str], None]) -> None:
    if processes.marked(record["mark"]):
        say("ending what an earlier stack left running")
        processes.end(mark=record["mark"], grace=10)


def _supervisor(record: dict[str, Any]) -> psutil.Process | None:
    """The recorded process, unless its number now belongs to another."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(record["pid"])
        if process.create_time() == record["started"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _read(state_dir: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((state_dir / "stack.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return record


def _write(state_dir: Path, record: dict[str, Any]) -> None:
    unfinished = state_dir / "stack.json.tmp"
    unfinished.write_text(json.dumps(record), encoding="utf-8")
    unfinished.replace(state_dir / "stack.json")
