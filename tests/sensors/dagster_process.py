"""`dagster dev` on a state folder of its own, asked and told over GraphQL as its pages do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from deploy import dagster_home
from resources.settings import ROOT

REPOSITORY = {"repositoryLocationName": "daemon", "repositoryName": "__repository__"}
_RUNS = "{runsOrError(limit: 50) {... on Runs {results {runId status jobName tags {key value}}}}}"
_LAUNCH = """mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
_TERMINATE = "mutation($r: String!) {terminateRun(runId: $r) {__typename ... on PythonError {message}}}"
_TICKS = """query($s: SensorSelector!) {sensorOrError(sensorSelector: $s) {... on Sensor {
  sensorState {ticks(limit: 1) {status skipReason error {message}}}}}}"""

_LOCATIONS = "{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename}}}}}"

T = TypeVar("T")


@dataclass
class DagsterProcess:
    """One running instance; `wait_for` fails with what its pages and its log say."""

    launch: Callable[[], "subprocess.Popen[bytes]"]
    url: str
    log: Path

    def __post_init__(self) -> None:
        self.process = self.launch()

    def lose_power(self) -> None:
        """Kill every process of it at once, run workers included, and start it again."""
        for process in [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self.process = self.launch()
        self.wait_for(self.is_ready, "a loaded code location", 120)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30).json()
        assert "errors" not in answer, answer["errors"]
        found: dict[str, Any] = answer["data"]
        return found

    def runs(self) -> list[dict[str, Any]]:
        """Newest first, tags as a dictionary."""
        runs: list[dict[str, Any]] = self.ask(_RUNS)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in runs]

    def status(self, run_id: str) -> str:
        return next(str(run["status"]) for run in self.runs() if run["runId"] == run_id)

    def sensor_says(self) -> str:
        """The reason the retrain sensor gave at its last tick."""
        selector = {**REPOSITORY, "sensorName": "retrain_at_batch_threshold"}
        ticks = self.ask(_TICKS, s=selector)["sensorOrError"]["sensorState"]["ticks"]
        return str(ticks[0]["skipReason"]) if ticks else ""

    def materialize(self, *assets: str) -> str:
        """What a press on Materialize does."""
        selection = [{"path": [asset]} for asset in assets]
        parameters = {
            "selector": {**REPOSITORY, "pipelineName": "__ASSET_JOB", "assetSelection": selection},
            "mode": "default",
        }
        answer = self.ask(_LAUNCH, p=parameters)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def cancel(self, run_id: str) -> None:
        self.ask(_TERMINATE, r=run_id)

    def wait_for(self, what: Callable[[], T], sentence: str, seconds: float = 60) -> T:
        """What `what` returns as soon as it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.2)
        runs = [(run["runId"][:8], run["status"], run["jobName"]) for run in self.runs()] if self.is_ready() else []
        tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
        raise AssertionError(f"expected {sentence} within {seconds} s; {runs}\n{tail}")

    def is_ready(self) -> bool:
        try:
            answer = self.ask(
                "{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename}}}}}"
            )
        except httpx.HTTPError:
            return False
        entries = answer["workspaceOrError"]["locationEntries"]
        return [entry["locationOrLoadError"]["__typename"] for entry in entries] == ["RepositoryLocation"]

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(state_dir: Path, port: int, environment: dict[str, str]) -> DagsterProcess:
    """Started by Popen in a session of its own: from a shell's background it could not be interrupted."""
    home = dagster_home.write(ROOT / "dagster.yaml", state_dir)
    workspace = state_dir / "workspace.yaml"
    entry = {
        "relative_path": str(ROOT / "tests/sensors/daemon_definitions.py"),
        "working_directory": str(ROOT),
        "location_name": "daemon",
    }
    workspace.write_text(json.dumps({"load_from": [{"python_file": entry}]}), encoding="utf-8")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    log = state_dir / "dagster.log"

    def launch() -> "subprocess.Popen[bytes]":
        with log.open("ab") as sink:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment, "DAGSTER_HOME": str(home)},
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    return DagsterProcess(launch, f"http://127.0.0.1:{port}", log)
