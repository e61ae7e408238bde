"""One loop on a state of its own, started as the stack starts it, with points at which its processes can be struck."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from bench.free_ports import free_ports
from core.conversation import Conversation, Message
from deploy import processes
from deploy.child import Child
from deploy.corpus import corpus_folder, distinct, load, rows
from deploy.services import Service, services
from resources import base_model
from resources.settings import ROOT, Settings, read_settings
from resources.store import Store, open_store
from tests.e2e.checker import FINISHED, Findings, Tables
from tests.faults import checker
from tests.faults.base import NAME
from tests.faults.catalogue import Model

BATCH = 20
# how often a struck process is looked for, and how often a dead one: to walk all processes costs more
POLL_SECONDS, WATCH_SECONDS = 0.25, 1.0
GRACE_SECONDS = 5.0
# how long a version may take; SmolLM2-135M is asked hundreds of questions on whatever cores are left
DECIDE_SECONDS: dict[Model, float] = {"small": 300.0, "real": 1200.0}
# what each fault may add to it: an attempt more, or all of Dagster started again, on a machine that others use too
FAULT_SECONDS = 120.0
# a gate that a model of random weights passes when it learned anything at all; every check is still measured
LENIENT: dict[str, Any] = {
    "gate_alpha": 0.49, "gate_min_held_out": 2, "gate_superiority_margin": 0.0, "gate_base_margin": 5.0,
    "gate_general_margin": 5.0, "gate_bootstrap_draws": 100, "gate_min_probes": 1, "gate_degenerate_margin": 1.0,
    "gate_max_leaks": 1000, "gate_task_margin": 1.0, "gate_safety_margin": 1.0, "gate_over_refusal_margin": 1.0,
    "gate_sycophancy_margin": 1.0, "gate_canary_alpha": 1e-9, "gate_trigger_lift": 100.0,
    "gate_reference_margin": 100.0, "gate_latency_ratio": 1000.0, "gate_size_share": 100.0,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "finetune_lora_rank": 4, "finetune_learning_rate": 5e-4, "finetune_pack_tokens": 256, "finetune_epochs": 2,
    "per_device_train_batch_size": 1, "checkpoint_seconds": 0.2, "lease_seconds": 2, "finetune_batch_size": BATCH,
}  # fmt: skip
REAL: dict[str, Any] = {
    "finetune_lora_rank": 8, "finetune_pack_tokens": 256, "finetune_epochs": 2, "per_device_train_batch_size": 1,
    "checkpoint_seconds": 0.5, "lease_seconds": 2, "finetune_batch_size": BATCH,
}  # fmt: skip

Found = TypeVar("Found")
# set when a person ends the harness: nobody waits any longer
ENDING = threading.Event()


class Stuck(AssertionError):
    """Something did not happen in time; the message says what, and what the logs end with."""


class Lane:
    """Dagster and the ingress's loops over one state folder; `mark` names every process of it.

    A state that was left, at whatever moment, is gone on with. The small model lies in `models`, the real one where
    every Whetstone has it.
    """

    def __init__(self, state: Path, models: Path, database_url: str = "", model: Model = "small") -> None:
        self.state, self.faults, self.model = state, state / "faults", model
        self.faults.mkdir(parents=True, exist_ok=True)
        fastapi, dagster, mlflow = free_ports(3)
        chosen = {"models_dir": models, "base_model": NAME, **SMALL} if model == "small" else REAL
        self.settings: Settings = read_settings(
            **{
                "state_dir": state, "database_url": database_url, "mlflow_tracking_uri": "",
                "fastapi_port": fastapi, "dagster_port": dagster, "mlflow_port": mlflow,
                "host": "127.0.0.1", "enable_auth": False, "answer_with": "student", **LENIENT, **chosen,
            }
        )  # fmt: skip
        self.url = database_url
        self.mark = f"faults-{os.getpid()}-{state.name}"
        self._note = state / "lane.json"
        noted = json.loads(self._note.read_text("utf-8")) if self._note.exists() else {}
        self.sent: set[str] = set(noted.get("sent", ()))
        self._texts = conversations()[noted.get("taken", 0) :]
        self._taken: int = noted.get("taken", 0)
        base = base_model.resolve(self.settings.base_model, self.settings.models_dir)
        self.store: Store = open_store(
            self.settings.database_url, live_defaults=self.settings.live(), lineage=base_model.fingerprint(base)
        )
        dagster_service = next(one for one in services(self.settings) if one.name == "dagster")
        self.environment = {**dagster_service.environment, **self._seam()}
        ingress = (sys.executable, "-m", "tests.faults.ingress")
        self._services = [
            Service("dagster", dagster_service.argv, environment=self.environment),
            Service("ingress", ingress, environment=self.environment),
        ]
        self._children: list[Child] = []

    def _seam(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(Path(__file__).parent / "seam"),
            "WHETSTONE_FAULTS": str(self.faults),
            "OMP_NUM_THREADS": "1",
        }

    def start(self) -> None:
        """Everything that runs; no strike of an earlier start waits for it."""
        for left in self.faults.glob("*.*"):
            if left.name not in ("fired.jsonl", "batch.json"):
                left.unlink()
        self._launch()

    def _launch(self) -> None:
        logs = self.state / "logs"
        self._children = [
            Child(service, self.mark, logs / f"{service.name}.log", ROOT, lambda line: None)
            for service in self._services
        ]
        for child in self._children:
            child.start()

    def watch(self) -> None:
        """What a supervisor does: who died is started again, and what it had started is ended before."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                child.end(GRACE_SECONDS)
                child.start()
            child.look()

    def lose_power(self) -> None:
        """Every process at once, then a new start."""
        for _ in range(3):
            for process in processes.marked(self.mark):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        for child in self._children:
            if child.process is not None:
                child.process.wait()
        self._launch()

    def end(self) -> None:
        for process in processes.marked(self.mark):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for child in self._children:
            if child.process is not None:
                child.process.wait()
        self.store.close()

    def strike(self, point: str, action: str, **more: Any) -> None:
        """Have the next process that comes to this point struck there."""
        text = json.dumps({"action": action, **more})
        staging = self.faults / f"{point}.tmp"
        staging.write_text(text, encoding="utf-8")
        staging.rename(self.faults / point)

    def unstrike(self, point: str) -> bool:
        """Take back what nobody came to; whether there was anything to take back."""
        with suppress(FileNotFoundError):
            (self.faults / point).unlink()
            return True
        return False

    def fired(self) -> list[dict[str, Any]]:
        """What was carried out so far, in order."""
        path = self.faults / "fired.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def batch(self, many: int = BATCH) -> list[Conversation]:
        """The next conversations of the corpus."""
        taken, self._texts = self._texts[:many], self._texts[many:]
        if len(taken) < many:
            raise LookupError("Expected more conversations in the corpus, found none left: begin a new state")
        self._taken += many
        return taken

    def acknowledged(self, batch: list[Conversation]) -> None:
        """They must never be gone from here on."""
        self.sent |= {one.id for one in batch}
        self._note.write_text(json.dumps({"sent": sorted(self.sent), "taken": self._taken}), encoding="utf-8")

    def left(self) -> int:
        return len(self._texts)

    def send(self, many: int = BATCH) -> None:
        """Capture a batch; it is acknowledged when this returns."""
        batch = self.batch(many)
        self.store.conversations.capture(batch)
        self.acknowledged(batch)

    def tables(self) -> Tables:
        return checker.read(self.state, self.url)

    def judge(self, *, at_rest: bool, mlflow: bool = True) -> Findings:
        """The checker's findings; files that vanish while they are read belong to a process that is at work."""
        for _ in range(20):
            try:
                return checker.judge(self.state, self.url, sent=self.sent, at_rest=at_rest, mlflow=mlflow)
            except FileNotFoundError:
                time.sleep(POLL_SECONDS)
        return checker.judge(self.state, self.url, sent=self.sent, at_rest=at_rest, mlflow=mlflow)

    def standing(self) -> dict[int, tuple[str, int]]:
        """State and attempts of each version."""
        return checker.standing(self.state, self.url)

    def state_of(self, n: int) -> str | None:
        state, _ = self.standing().get(n, (None, 0))
        return state

    def decided(self, n: int) -> bool:
        return self.state_of(n) in FINISHED

    def until(self, look: Callable[[], Found | None], what: str, seconds: float) -> Found:
        """What `look` finds as soon as it finds something; meanwhile who died is started again."""
        deadline, watch_at = time.monotonic() + seconds, 0.0
        while time.monotonic() < deadline and not ENDING.is_set():
            if found := look():
                return found
            if time.monotonic() >= watch_at:
                self.watch()
                watch_at = time.monotonic() + WATCH_SECONDS
            time.sleep(POLL_SECONDS)
        raise Stuck(f"waited {seconds:.0f} s for {what}\n{self.tails()}")

    def tails(self, lines: int = 12) -> str:
        """The end of every log, and what is in flight."""
        said = []
        for path in sorted((self.state / "logs").glob("*")):
            tail = path.read_text("utf-8", errors="replace").splitlines()[-lines:]
            said += [f"--- {path.name}", *tail]
        rows = self.tables().versions.values()
        said += [f"v{row['n']} {row['state']} attempts {row['attempts']} error {row['error']}" for row in rows]
        return "\n".join(said)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Those of this loop whose command line holds all of these words."""
        found = []
        for process in processes.marked(self.mark):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                line = " ".join(process.cmdline())
                found += [process] if all(word in line for word in words) else []
        return found

    def kill(self, *words: str) -> int:
        """SIGKILL to each of them; how many there were."""
        found = self.processes(*words)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return len(found)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Dagster's GraphQL, as its pages use it."""
        body = {"query": query, "variables": variables}
        url = f"http://127.0.0.1:{self.settings.dagster_port}/graphql"
        found: dict[str, Any] = httpx.post(url, json=body, timeout=30, trust_env=False).json()
        return found

    def second_daemon(self) -> "subprocess.Popen[bytes]":
        """Another sensor daemon on the same Dagster home."""
        command = (sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-w", "workspace.yaml")
        log = self.state / "logs" / "second-daemon.log"
        return processes.spawn(command, mark=self.mark, log=log, cwd=ROOT, environment=self.environment)


def conversations() -> list[Conversation]:
    """Everything English of the corpus as a team's own conversations, in one order."""
    topics = [path.stem for path in sorted((corpus_folder() / "english").glob("*.yml"))]
    return [
        Conversation(
            id=row["id"],
            messages=tuple(Message(**message) for message in row["messages"]),
            reply=row["reply"],
            user_id=row["user_id"],
            thread_id=row["thread_id"],
            source="import",
            provenance="human",
            created_at=datetime.now(UTC),
        )
        for row in rows(distinct(load(topics)))
        if len(row["reply"]) < 160 and len(row["messages"][0]["content"]) < 160
    ]


def forget(state: Path) -> None:
    """Remove a state that is no longer needed."""
    shutil.rmtree(state, ignore_errors=True)
