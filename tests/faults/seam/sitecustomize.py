"""Named points at which a process of the loop can be struck, put around our functions from outside.

Python imports this at its start when the folder is on PYTHONPATH, which only the harness does: the product has no seam
of its own. A strike is a file `<WHETSTONE_FAULTS>/<point>` with an action; whoever removes it, carries it out.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time
from pathlib import Path

# module → functions with a point before and one after them
WRAPPED = {
    "resources.claims": {"claim_version": "claim_transaction"},
    "resources.endings": {"conclude_version": "conclude_transaction"},
    "resources.versions": {
        "Versions.claim": "claim",
        "Versions.screen": "screen",
        "Versions.set_dataset": "set_dataset",
        "Versions.set_mlflow_run": "set_mlflow_run",
        "Versions.mark_trained": "mark_trained",
        "Versions.set_verdict": "set_verdict",
        "Versions.conclude": "conclude",
    },
    "resources.conversations": {"Conversations.capture": "capture"},
    "resources.capturing": {"capture_batch": "capture_transaction"},
    "resources.registry": {
        "MlflowRegistry.register": "register",
        "MlflowRegistry._logged_model": "logged_model",
        "MlflowRegistry.set_alias": "alias",
    },
    "resources.champions": {"Champions.intend_alias": "intend_alias", "Champions.confirm_alias": "confirm_alias"},
    "resources.tracking": {"MlflowTracking.open_run": "open_run", "MlflowTracking.log_training": "log_training"},
    "resources.trained": {"publish": "publish"},
    "resources.trainer": {"TrainerProcess.run": "trainer"},
    "resources.trainer_guard": {"TrainerGuard.demand_hold": "demand_hold"},
    "wrappers.lora_training": {"LoraTraining._one_step": "step"},
    "wrappers.checkpoints": {"Checkpoints.save": "checkpoint"},
    "wrappers.adapter_job": {"save_adapter": "save_adapter"},
    "wrappers.evaluation": {"evaluate_adapter": "evaluate"},
    "dagster._core.launcher.default_run_launcher": {"DefaultRunLauncher.launch_run": "launch"},
}
TICKS = "dagster._daemon.sensor"
# where the wall clock is read
CLOCKS = ("resources.tables", "sensors.loop_state", "dagster._time")
# What only takes time takes less: the daemon between two looks, the sensor before it tries a version again, and the
# rounds in which an adapter's speed is timed. No crash is told from another by these; the lease, by which one is, is a
# setting.
PACES = {
    "dagster._daemon.sensor": {"MIN_INTERVAL_LOOP_TIME": 4.0},
    "dagster._core.run_coordinator.queued_run_coordinator": {"QueuedRunCoordinator.dequeue_interval_seconds": 2},
    "resources.version_rows": {"FIRST_BACKOFF_SECONDS": 1.0},
    "wrappers.evaluation": {"ROUNDS": 3, "STEPS": 2},
}
# what is renamed into one of these folders of the state becomes visible
FOLDERS = {"datasets": "dataset", "adapters": "adapter", "checkpoints": "checkpoint_folder", "reports": "report"}

HOME = Path(os.environ.get("WHETSTONE_FAULTS", "/nonexistent"))
_hits: dict[str, int] = {}


def point(name: str) -> str:
    """Carry out what is asked for at this point, once, and name it; without a file it is one look at a folder."""
    strike = HOME / name
    try:
        wanted = json.loads(strike.read_text(encoding="utf-8"))
        if wanted.get("process", "") not in " ".join(sys.argv) or not _is_due(name, wanted):
            return ""
        strike.unlink()
    except (OSError, ValueError):
        return ""
    note(name, wanted)
    _act(name, wanted)
    return str(wanted["action"])


def note(name: str, wanted: dict[str, object]) -> None:
    """One line of what was done to whom, on disk before it is done."""
    line = {"point": name, "pid": os.getpid(), "argv": sys.argv[:3], "at": time.time(), **wanted}
    with (HOME / "fired.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _is_due(name: str, wanted: dict[str, object]) -> bool:
    _hits[name] = _hits.get(name, 0) + 1
    return _hits[name] > int(str(wanted.get("skip", 0)))


def _act(name: str, wanted: dict[str, object]) -> None:
    action = wanted["action"]
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    elif action == "orphan":
        # as if the machine had slept in between: who waited for us is gone, and we wake up when it is over
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "raise":
        number = int(str(wanted["errno"]))
        raise OSError(number, os.strerror(number), str(HOME))
    elif action == "hold":
        while not (HOME / f"{name}.go").exists():
            time.sleep(0.02)


def _around(function, name):
    @functools.wraps(function)
    def struck(*arguments, **named):
        if point(f"{name}.before") == "twice":
            function(*arguments, **named)
        result = function(*arguments, **named)
        point(f"{name}.after")
        return result

    return struck


def _wrap(module, functions):
    for path, name in functions.items():
        owner_name, _, attribute = path.rpartition(".")
        owner = getattr(module, owner_name) if owner_name else module
        setattr(owner, attribute, _around(vars(owner)[attribute], name))


def _ticks(module):
    """Dagster's own crash points, which it leaves to its tests."""
    module.check_for_debug_crash = lambda flags, key: point(f"tick.{key}")


def _hurry(module, paces):
    for path, value in paces.items():
        owner_name, _, name = path.rpartition(".")
        owner = getattr(module, owner_name) if owner_name else module
        vars(owner)[name]  # one that was renamed is an error, not a wait
        setattr(owner, name, value)


def behind() -> float:
    """By how many seconds the wall clock is set back."""
    try:
        return float((HOME / "clock").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0


def _clock(module):
    """The module's wall clock, set back; a steady clock is not moved, as in a machine.

    Not `time.time` for all: gRPC would reckon its deadlines from it, and hold them against a clock that was not set.
    """
    from datetime import datetime, timedelta

    class Late(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(seconds=behind())

    module.datetime = Late
    if hasattr(module, "_mockable_get_current_timestamp"):
        module._mockable_get_current_timestamp = lambda: time.time() - behind()


class _Loader(importlib.abc.Loader):
    """Loads as before, then puts the points around what was loaded."""

    def __init__(self, inner, name):
        self._inner, self._name = inner, name

    def create_module(self, spec):
        return self._inner.create_module(spec)

    def exec_module(self, module):
        self._inner.exec_module(module)
        if self._name == TICKS:
            _ticks(module)
        if self._name in CLOCKS:
            _clock(module)
        _hurry(module, PACES.get(self._name, {}))
        _wrap(module, WRAPPED.get(self._name, {}))


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname not in WRAPPED and fullname not in (TICKS, *CLOCKS, *PACES):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, fullname)
        return spec


def _renames() -> None:
    real = os.rename

    def rename(source, target, **named):
        name = _shown_as(target)
        if name is not None:
            point(f"{name}.rename.before")
        real(source, target, **named)
        if name is not None:
            point(f"{name}.rename.after")

    os.rename = rename


def _shown_as(target: object) -> str | None:
    parts = Path(str(target)).parts
    if ".tmp" in parts[-1]:
        return None
    return next((name for folder, name in FOLDERS.items() if folder in parts), None)


def _leave_out(*packages):
    """A trainer here neither quantises nor looks at a curve, and Transformers and PEFT take seconds to import both."""
    if any("train.py" in argument for argument in sys.orig_argv):
        sys.modules.update(dict.fromkeys(packages))


if "WHETSTONE_FAULTS" in os.environ:
    _leave_out("sklearn", "bitsandbytes")
    sys.meta_path.insert(0, _Finder())
    _renames()
