"""What must hold before anything starts: free ports, memory and disk, a place to write, the base model."""

import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from resources.base_model import BaseModelMissing, resolve
from resources.settings import Settings

GIB = 2**30
NEEDED_MEMORY_BYTES = 4 * GIB
NEEDED_DISK_BYTES = 2 * GIB
EXIT_STATUS = 2

PORTS = ("fastapi_port", "dagster_port", "mlflow_port")


class PreflightFailed(RuntimeError):
    """The start was refused; one line for each reason, each of which says what to do."""


def check(settings: Settings, ports: Iterable[str] = PORTS) -> None:
    """Raises PreflightFailed with every reason found; `ports` are names of port settings."""
    found = [
        *_base_model(settings),
        *_state_dir(settings.state_dir),
        *_disk(settings.state_dir),
        *_memory(),
        *(line for name in ports for line in _port(settings, name)),
    ]
    if found:
        raise PreflightFailed("\n".join(found))


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be used without swapping: the machine's, or the container's where that is less."""
    lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    limit = _number(cgroup / "memory.max")
    used = _number(cgroup / "memory.current")
    return machine if limit is None or used is None else min(machine, limit - used)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _base_model(settings: Settings) -> list[str]:
    try:
        resolve(settings.base_model, settings.models_dir)
    except BaseModelMissing as error:
        return [str(error)]
    return []


def _state_dir(state_dir: Path) -> list[str]:
    folder = _existing(state_dir)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return []
    return [f"The state folder {state_dir} cannot be written: give this user the right to, or set STATE_DIR elsewhere."]


def _disk(state_dir: Path) -> list[str]:
    free = shutil.disk_usage(_existing(state_dir)).free
    if free >= NEEDED_DISK_BYTES:
        return []
    return [
        f"{_gib(free)} are free on the disk of {state_dir}, {_gib(NEEDED_DISK_BYTES)} are needed: "
        "free some, or set STATE_DIR to a folder on another disk."
    ]


def _memory() -> list[str]:
    free = available_memory()
    if free >= NEEDED_MEMORY_BYTES:
        return []
    return [
        f"{_gib(free)} of memory are free, the engine needs {_gib(NEEDED_MEMORY_BYTES)}: "
        "end other programs, or run on a machine with more."
    ]


def _port(settings: Settings, name: str) -> list[str]:
    host = settings.host if name == "fastapi_port" else "127.0.0.1"
    port = getattr(settings, name)
    if port_is_free(host, port):
        return []
    return [
        f"Port {port} on {host} is taken: end the program that listens there, or set {name.upper()} to a free port."
    ]


def _existing(folder: Path) -> Path:
    return next(path for path in [folder, *folder.parents] if path.exists())


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
