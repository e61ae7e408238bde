"""What breaks around a swap, on the whole of serving with a real MLflow: chat goes on, or is back within 90 s.

Somebody chats all the time. Each version says a word of its own, so that what a reply says tells who wrote it.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

from bench.forced_words import forced_words
from bench.swap_versions import SwapVersions
from core.manifest import Manifest
from resources import adapters, base_model, mlflow_store
from resources.folders import hashes
from resources.registry import MlflowRegistry
from resources.settings import ROOT, Settings
from resources.tracking import experiment_of
from tests.serve.test_app_live import MARK, Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]

BACK_SECONDS = 90.0


@dataclass(frozen=True)
class Said:
    """`failure` is None for a whole reply."""

    at: float
    model: str = ""
    text: str = ""
    conversation: str = ""
    collected: bool = False
    failure: str | None = None


@dataclass
class Talking:
    """Somebody who asks `production` one thing after the other, without end."""

    url: str
    said: list[Said] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            while not self.ending.wait(0.1):
                self.said.append(self._ask(http))

    def failures(self, since: float) -> list[str]:
        return [one.failure for one in self.said if one.failure and one.at >= since]

    def last(self) -> Said:
        return next(one for one in reversed(self.said) if not one.failure)

    def _ask(self, http: httpx.Client) -> Said:
        body = {"model": "production", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 3}
        at = time.monotonic()
        try:
            answer = http.post("/v1/chat/completions", json=body)
        except httpx.HTTPError as error:
            return Said(at, failure=type(error).__name__)
        if answer.status_code != 200:
            return Said(at, failure=answer.text[:200])
        says = answer.headers
        return Said(
            at,
            says["x-whetstone-model"],
            answer.json()["choices"][0]["message"]["content"],
            says["x-whetstone-conversation"],
            says["x-whetstone-collected"] == "true",
        )


@dataclass
class Scene:
    stack: Stack
    settings: Settings
    versions: SwapVersions
    registry: MlflowRegistry
    talking: Talking

    def champion(self) -> str:
        n = self.versions.store.champion.get().n
        return "base" if n is None else f"v{n}"

    def alias(self) -> str:
        return f"v{self.registry.alias('production')}"

    def answers(self, model: str) -> bool:
        """Whether a reply that began just now says that it is, and is, of this model."""
        now = time.monotonic()
        _until(lambda: bool(self.talking.said) and self.talking.said[-1].at > now)
        last = self.talking.said[-1]
        return last.failure is None and last.model == model and self.is_of_its_model(last)

    def is_of_its_model(self, said: Said) -> bool:
        if said.model == "base":
            return not any(2 * word in said.text for word in self.versions.words)
        word = self.versions.said_by(said.model)
        return said.text.strip() == (word * said.text.count(word)).strip() and word in f" {said.text}"

    def all_agree_on(self, model: str) -> bool:
        return self.champion() == self.alias() == model and self.answers(model)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    state, mark = tmp_path_factory.mktemp("state"), uuid4().hex
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = Settings(state_dir=state, fastapi_port=port)
    model = base_model.resolve(settings.base_model, settings.models_dir)
    versions = SwapVersions(settings, forced_words(model, base_model.fingerprint(model), 8))
    versions.make(range(1, 4))
    for _ in (1, 2):
        versions.prepare_next()
        versions.conclude_next()
    mlflow_store.create(settings.mlflow_tracking_uri)
    registry = MlflowRegistry(settings.mlflow_tracking_uri, settings.mlflow_model_name, experiment_of(settings))
    given = {MARK: mark, "SPT_NOENV": "1", "STATE_DIR": str(state), "FASTAPI_PORT": str(port)}
    log = state / "serve.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "serve.app"]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **given}, stdout=output, stderr=subprocess.STDOUT
        )
    stack = Stack(process, f"http://127.0.0.1:{port}", mark, log, set())
    talking = Talking(stack.url)
    thread = threading.Thread(target=talking.run)
    try:
        stack.wait_until(ready=True)
        thread.start()
        found = Scene(stack, settings, versions, registry, talking)
        _until(lambda: found.all_agree_on("v2"))
        yield found
    finally:
        talking.ending.set()
        with suppress(RuntimeError):
            thread.join()
        stack.end()
        for left in stack.processes():
            with suppress(psutil.NoSuchProcess):
                left.kill()
        versions.store.close()


def _until(holds: Callable[[], bool], seconds: float = BACK_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.2)


def _corrupted(scene: Scene) -> None:
    """What was published whole, and is damaged since."""
    name = scene.versions.prepare_next()
    with (scene.settings.state_dir / "adapters" / name / adapters.WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))


def _of_other_shapes(scene: Scene) -> None:
    """Whole and finite, and vLLM fails in the middle of copying it."""
    made = scene.settings.state_dir / "made"
    n = scene.versions.store.versions.next_number()
    staging = made / f"v{n}.tmp-test"
    staging.mkdir()
    layer = "base_model.model.model.layers.3.mlp.gate_proj"
    shapes = {"lora_A": (8, 1000), "lora_B": (1536, 8)}
    tensors = {f"{layer}.{side}.weight": np.ones(shape, np.float32) for side, shape in shapes.items()}
    save_file(tensors, staging / adapters.WEIGHTS)
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "bias": "none", "target_modules": ["gate_proj"]}
    (staging / adapters.CONFIG).write_text(json.dumps(config))
    lineage = scene.versions.store.lineage
    manifest = Manifest(kind="adapter", version=n, files=hashes(staging), base_fingerprint=lineage)
    adapters.publish(staging, made / f"v{n}", manifest)
    scene.versions.prepare_next()


@pytest.mark.parametrize("prepare", [_corrupted, _of_other_shapes])
def test_an_adapter_that_cannot_be_loaded_leaves_chat_alias_and_champion_as_they_were(
    scene: Scene, prepare: Callable[[Scene], None]
) -> None:
    began, before = time.monotonic(), scene.versions.store.champion.get()
    prepare(scene)
    refused, _ = scene.versions.conclude_next()
    aliases = set()
    _until(lambda: bool(aliases.add(scene.alias())) or scene.champion() == "v2")
    _until(lambda: scene.all_agree_on("v2"))
    assert aliases == {"v2"}
    assert scene.versions.store.champion.get().previous == before.previous == 1
    failed = scene.versions.store.events.page(type="swap_failed")[0]
    assert (f"v{failed.version}", scene.talking.failures(began)) == (refused, [])


def test_an_alias_that_flaps_ends_where_it_was_put_last_and_what_is_damaged_is_put_back(scene: Scene) -> None:
    began = time.monotonic()
    for turn in range(20):
        scene.registry.set_alias("production", (1, 2)[turn % 2])
        time.sleep(0.3)
    scene.registry.set_alias("production", 1)
    _until(lambda: scene.all_agree_on("v1"))
    _until(lambda: scene.registry.registered(3) is not None)
    scene.registry.set_alias("production", 3)
    _until(lambda: scene.alias() == "v1")
    assert scene.all_agree_on("v1")
    assert "refused" in scene.versions.store.events.page(type="alias_put_back")[0].message
    assert scene.talking.failures(began) == []


def test_without_the_registry_champions_change_and_it_is_told_when_it_is_back(scene: Scene) -> None:
    began, kept = time.monotonic(), Path(tempfile.mkdtemp(dir=scene.settings.state_dir))
    files = sorted(scene.settings.state_dir.glob("mlflow.db*"))
    for file in files:
        file.rename(kept / file.name)
    wanted, _ = scene.versions.swap_back()
    _until(lambda: scene.answers(wanted), 15)
    for file in reversed(files):  # the log is there before the file that needs it
        (kept / file.name).rename(file)
    _until(lambda: scene.all_agree_on(wanted))
    assert scene.talking.failures(began) == []


@pytest.mark.parametrize("victim", ["ServeReplica:whetstone:Ingress", "VLLM::EngineCore"])
def test_what_is_killed_is_back_and_serves_who_is_champion_by_then(scene: Scene, victim: str) -> None:
    killed, victims = time.monotonic(), scene.stack.named(victim)
    for process in victims:
        process.kill()
    psutil.wait_procs(victims, timeout=10)
    wanted, _ = scene.versions.swap_back()
    _until(lambda: scene.all_agree_on(wanted), BACK_SECONDS - (time.monotonic() - killed))
    assert not {process.pid for process in victims} & {process.pid for process in scene.stack.named(victim)}
    other, _ = scene.versions.swap_back()
    _until(lambda: scene.answers(other), 15)


def test_every_conversation_that_was_acknowledged_is_there_and_is_of_the_model_it_names(scene: Scene) -> None:
    whole = [one for one in scene.talking.said if not one.failure]
    assert len(whole) > 50
    assert {one.model for one in whole} == {"v1", "v2"}
    assert [one for one in whole if not scene.is_of_its_model(one)] == []
    told = [one for one in whole if one.collected]
    assert len(told) > len(whole) // 2
    kept = [scene.versions.store.conversations.get(one.conversation) for one in told]
    assert [one and one.conversation.model for one in kept] == [one.model for one in told]
