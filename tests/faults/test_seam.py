"""The points at which processes are struck: all of them are there, and none of them without the harness."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources.versions import MAX_ATTEMPTS
from tests.faults.catalogue import ALONE, IN_ORDER, LASTING, NAMED, REAL, SMALL, WITH_THE_REAL_MODEL, groups

SEAM = Path(__file__).parent / "seam"
ROOT = SEAM.parents[2]

pytestmark = pytest.mark.slow  # processes of their own, which import what they strike


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(SEAM), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_whatever_is_to_be_struck_is_still_there() -> None:
    """A function that was renamed is an error at once: no fault may pass because nobody came to its point."""
    code = "import importlib as i, sitecustomize as s; [i.import_module(m) for m in {*s.WRAPPED, s.TICKS, *s.CLOCKS}]"
    ended = python(code, WHETSTONE_FAULTS="/nonexistent")
    assert ended.returncode == 0, ended.stderr


def test_every_fault_strikes_at_a_point_that_the_seam_knows() -> None:
    code = (
        "import json, sitecustomize as s;"
        "print(json.dumps([n for one in s.WRAPPED.values() for n in one.values()] + list(s.FOLDERS.values())))"
    )
    known = json.loads(python(code).stdout)
    names = {fault.point.removesuffix(".before").removesuffix(".after") for fault in NAMED}
    odd = {
        name
        for name in names
        if name not in known and name.removesuffix(".rename") not in known and not name.startswith("tick.")
    }
    assert not odd


def test_a_strike_is_carried_out_once_by_the_process_it_is_for(tmp_path: Path) -> None:
    strike = tmp_path / "claim_transaction.before"
    strike.write_text('{"action": "raise", "errno": 28, "skip": 1}', encoding="utf-8")
    code = """
import resources.claims as claims
for attempt in range(4):
    try:
        claims.claim_version(None)
    except TypeError:
        print("called")
    except OSError as error:
        print(error.errno)
"""
    assert python(code, WHETSTONE_FAULTS=str(tmp_path)).stdout.split() == ["called", "28", "called", "called"]
    assert not strike.exists()
    assert json.loads((tmp_path / "fired.jsonl").read_text(encoding="utf-8"))["point"] == "claim_transaction.before"


def test_without_the_harness_nothing_is_put_around_anything(tmp_path: Path) -> None:
    code = (
        "import os, shutil, resources.claims as c; print(hasattr(c.claim_version, '__wrapped__'), os.rename.__module__)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "WHETSTONE_FAULTS"}
    assert "WHETSTONE_FAULTS" not in environment
    assert python(code).stdout.split() == ["False", "posix"]


def test_a_clock_that_is_set_back_is_so_for_dagster_and_for_us_and_for_no_deadline(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("3600", encoding="ascii")
    code = """
import time
from dagster import _time
from resources.tables import utc_now
print(*(round((time.time() - found) / 60) for found in (_time.get_current_timestamp(), utc_now().timestamp())))
print(round((time.time() - _time.get_current_datetime().timestamp()) / 60), round(time.time() - time.clock_gettime(0)))
"""
    assert python(code, WHETSTONE_FAULTS=str(tmp_path)).stdout.split() == ["60", "60", "60", "0"]


def test_each_fault_is_played_once_and_no_version_is_struck_twice_at_one_point() -> None:
    for seed in range(20):
        for faults in (SMALL, REAL):
            found = groups(faults, seed)
            assert sorted(fault.name for group in found for fault in group) == sorted(fault.name for fault in faults)
            for group in found:
                assert len({fault.point for fault in group}) == len(group)
                assert sum(fault.attempts for fault in group) < MAX_ATTEMPTS
                assert not any(fault.then in LASTING for fault in group) or sum(f.action != "kill" for f in group) == 1


def test_names_are_unique() -> None:
    assert len({fault.name for fault in NAMED}) == len(IN_ORDER) + len(ALONE) + len(WITH_THE_REAL_MODEL)


def test_what_only_waits_waits_less_and_the_lease_is_not_among_it() -> None:
    code = (
        "from dagster._daemon import sensor; from dagster._core.run_coordinator import QueuedRunCoordinator as queue;"
        "import sensors.loop_state as l, wrappers.evaluation as e; print(sensor.MIN_INTERVAL_LOOP_TIME,"
        "queue().dequeue_interval_seconds, l.FIRST_BACKOFF_SECONDS, e.ROUNDS, e.STEPS)"
    )
    assert python(code, WHETSTONE_FAULTS="/nonexistent").stdout.split() == ["4.0", "2", "1.0", "3", "2"]
    assert python(code).stdout.split() == ["5", "5", "5.0", "11", "4"]
