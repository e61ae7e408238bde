"""The folder of our Ray cluster: it names its owner, and the next start removes it where the owner was killed."""

import json
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "whetstone-"
OWNER = "owner.json"
_GRACE_SECONDS = 5.0


def make_folder() -> Path:
    """A new one for this process."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / OWNER).write_text(json.dumps(_identity(os.getpid())), encoding="utf-8")
    return folder


def remove_orphans() -> list[Path]:
    """End what is left of clusters whose owner was killed, and remove their folders; nobody else's."""
    removed = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        if _is_orphan(folder):
            ended = _end_what_runs_in(folder)
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
            log.warning("a start before this one was killed: removed %s, ended %d processes", folder, ended)
    return removed


def _is_orphan(folder: Path) -> bool:
    """Ours, with an owner of this machine and of this container who is no more."""
    try:
        found = folder.lstat()
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        if found.st_uid != os.getuid() or folder.is_symlink():
            return False
        here = _identity(os.getpid())
        if owner["boot"] != here["boot"]:
            return True
        return bool(owner["namespace"] == here["namespace"]) and owner != _identity(int(owner["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _identity(pid: int) -> dict[str, Any]:
    """A process as no other is called before or after it; `began` is None where there is none."""
    return {
        "pid": pid,
        "began": _began(pid),
        "namespace": str(Path("/proc/self/ns/pid").readlink()),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
    }


def _began(pid: int) -> int | None:
    """Clock ticks after the start of the machine."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _end_what_runs_in(folder: Path) -> int:
    import psutil

    left = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if process.uids().real == os.getuid() and any(_is_in(part, folder) for part in process.cmdline()):
                process.terminate()
                left.append(process)
    _, stubborn = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return len(left)


def _is_in(argument: str, folder: Path) -> bool:
    return argument.rpartition("=")[2] == str(folder) or f"{folder}/" in argument
