"""What the harness does beside a struck process, and how it sets things right once the version is decided."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import psutil

from tests.faults.lane import ENDING, Lane

Undo = Callable[[], None]
HOUR = 3600
LOCKED_SECONDS = 8.0
RANDOM_KILLS, RANDOM_SECONDS, RANDOM_ATTEMPTS = 4, 6.0, 3
WAKE_SECONDS = 10.0
CODE_SERVER, DAEMON = ("dagster", "api", "grpc"), ("dagster._daemon",)
_LAUNCH = """mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""


class NotInjected(Exception):
    """There was nothing to do it to: the fault is to be tried again in another version."""


def act(lane: Lane, then: str, fired: dict[str, Any]) -> Undo:
    """Do what `then` names while the struck process is held; returns what to undo once the version is decided."""
    try:
        undo = _ACTIONS[then](lane, fired)
    finally:
        if fired["action"] == "hold":
            (lane.faults / f"{fired['point']}.go").touch()
    return undo or (lambda: None)


def wake_later(lane: Lane, fired: dict[str, Any]) -> Undo:
    """The old trainer sleeps until another one has finished its version, then goes on where it was."""

    def wake() -> None:
        with suppress(ProcessLookupError):
            os.kill(fired["pid"], signal.SIGCONT)
        deadline = time.monotonic() + WAKE_SECONDS
        while psutil.pid_exists(fired["pid"]) and time.monotonic() < deadline and not ENDING.is_set():
            time.sleep(0.1)
        if ENDING.is_set():
            return
        if psutil.pid_exists(fired["pid"]) and psutil.Process(fired["pid"]).status() != psutil.STATUS_ZOMBIE:
            raise AssertionError(f"expected the old trainer to end by itself, found it running {WAKE_SECONDS:.0f} s on")

    return wake


def second_run(lane: Lane, fired: dict[str, Any]) -> None:
    """What a doubled tick comes to: one more run of the job, with the same tags."""
    selector = {"repositoryLocationName": "whetstone", "repositoryName": "__repository__", "pipelineName": "retrain"}
    n = max(lane.tables().versions)
    tags = [{"key": "whetstone/version", "value": str(n)}]
    answer = lane.ask(_LAUNCH, p={"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}})
    assert answer["data"]["launchRun"]["__typename"] == "LaunchRunSuccess", answer


def second_daemon(lane: Lane, fired: dict[str, Any]) -> Undo:
    """From now on two of them tick, launch and reap."""
    second = lane.second_daemon()

    def end() -> None:
        assert second.poll() is None, "expected the second daemon to run all along, found it ended"
        second.kill()
        second.wait()

    return end


def tear_checkpoint(lane: Lane, fired: dict[str, Any]) -> None:
    """Half of the newest checkpoint's weights, then the trainer is gone."""
    whole = [path for path in lane.state.glob("checkpoints/v*/step-*") if not path.name.endswith(".tmp")]
    if not whole:
        raise NotInjected("expected a checkpoint to tear, found none")
    weights = next(max(whole).glob("*.safetensors"))
    os.truncate(weights, weights.stat().st_size // 2)
    os.kill(fired["pid"], signal.SIGKILL)


def mlflow_away(lane: Lane, fired: dict[str, Any]) -> Undo:
    """Its file is gone until the version is decided."""
    moved = [path.rename(path.with_name(f"away-{path.name}")) for path in lane.state.glob("mlflow.db*")]

    def back() -> None:
        for path in moved:
            path.rename(path.with_name(path.name.removeprefix("away-")))

    return back


def clock_back(lane: Lane, fired: dict[str, Any]) -> None:
    """An hour less from now on, and for good: the loop has to go on in the past."""
    path = lane.faults / "clock"
    before = float(path.read_text(encoding="ascii")) if path.exists() else 0.0
    path.write_text(str(before + HOUR), encoding="ascii")


def lose_power(lane: Lane, fired: dict[str, Any]) -> None:
    lane.lose_power()


def kill_code_server(lane: Lane, fired: dict[str, Any]) -> None:
    if not lane.kill(*CODE_SERVER):
        raise NotInjected("expected a code server to kill, found none")


def kill_daemon(lane: Lane, fired: dict[str, Any]) -> None:
    if not lane.kill(*DAEMON):
        raise NotInjected("expected a daemon to kill, found none")


def random_kills(lane: Lane, fired: dict[str, Any]) -> Undo:
    """Now and then one process of the loop, whichever; seldom enough that a version has attempts left."""
    drawn, over = random.Random(str(lane.state)), threading.Event()

    def strike() -> None:
        for _ in range(RANDOM_KILLS):
            if over.wait(drawn.uniform(1.0, 2 * RANDOM_SECONDS)):
                return
            if max(lane.standing().items())[1][1] >= RANDOM_ATTEMPTS:
                return
            running = lane.processes("python")
            if running:
                with suppress(psutil.NoSuchProcess):
                    drawn.choice(running).kill()

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


def lock_store(lane: Lane, fired: dict[str, Any]) -> Undo:
    """Another program holds SQLite's write lock for longer than a lease."""

    locked = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(lane.state / "whetstone.db", isolation_level=None, timeout=30)) as store:
            store.execute("BEGIN IMMEDIATE")
            locked.set()
            ENDING.wait(LOCKED_SECONDS)
            store.execute("ROLLBACK")

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    if not locked.wait(30):
        raise NotInjected("expected the store's lock to be had within 30 s, found it taken")
    return thread.join


def end_connections(lane: Lane, fired: dict[str, Any]) -> None:
    """As a database does that is restarted."""
    import psycopg

    with psycopg.connect(lane.url, autocommit=True) as store:
        store.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )


_ACTIONS: dict[str, Callable[[Lane, dict[str, Any]], Undo | None]] = {
    action.__name__: action
    for action in (
        wake_later, second_run, second_daemon, tear_checkpoint, mlflow_away, clock_back, lose_power, kill_code_server,
        kill_daemon, random_kills, lock_store, end_connections,
    )
}  # fmt: skip
