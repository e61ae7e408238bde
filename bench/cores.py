"""Which cores a process may use, and what it used."""

import os
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def stay_on(*cores: int) -> None:
    """Keep this process, threads that run already included, on these cores."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)
    os.sched_setaffinity(threading.get_native_id(), cores)


def two_cores() -> tuple[int, int]:
    """One for what is measured, one for what asks and what answers behind it."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise RuntimeError(f"Expected two cores to keep the measured apart from the measuring, found {len(cores)}")
    return cores[0], cores[1]


def family(root: int) -> list[psutil.Process]:
    """A process and all it started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> Counter[str]:
    """What each used so far, in user and system mode, by its name."""
    used = Counter[str]()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[_name(process)] += times.user + times.system
    return used


def _name(process: psutil.Process) -> str:
    """Ray's workers are called after what they do, down to the method of the moment, which is left out."""
    title = (process.cmdline() or [process.name()])[0].strip()
    return title.partition(".")[0] if title.startswith("ray::") else Path(title).name
