"""The sensor's promises under Dagster's real processes: daemon, code server and run workers, killed on purpose."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from assets.step import ORDER, VERSION_TAG
from core.live_settings import LiveSettings
from resources import base_model
from resources.store import Store, open_store
from tests.sensors.dagster_process import DagsterProcess, start
from tests.tiny_tokenizer import CHATML, tokenizer_folder
from tests.workshop import conversation

pytestmark = [pytest.mark.daemon, pytest.mark.slow]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("daemon")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model folder of a few kilobytes."""
    folder = tokenizer_folder(tmp_path_factory.mktemp("base"), CHATML)
    (folder / "config.json").write_text('{"model_type": "tiny"}', encoding="utf-8")
    save_file({"weight": np.zeros((2, 2), dtype=np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def store(state: Path, base: Path, migrated_sqlite: Path) -> Iterator[Store]:
    shutil.copy(migrated_sqlite, state / "whetstone.db")
    opened = open_store(
        f"sqlite:///{state / 'whetstone.db'}", live_defaults=LiveSettings(), lineage=base_model.fingerprint(base)
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def dagster(state: Path, base: Path, store: Store) -> Iterator[DagsterProcess]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"STATE_DIR": str(state), "BASE_MODEL": str(base), "LEASE_SECONDS": "3", "FINETUNE_BATCH_SIZE": "50"}
    running = start(state, port, settings)
    try:
        running.wait_for(lambda: running.is_ready(), "a loaded code location", 120)
        yield running
    finally:
        running.end()


class Loop:
    """Conversations in, versions out; each test goes on from whatever the one before left."""

    def __init__(self, state: Path, store: Store, dagster: DagsterProcess) -> None:
        self.state, self.store, self.dagster = state, store, dagster
        self.sent = store.conversations.counts().total
        (state / "go").unlink(missing_ok=True)

    def send(self, many: int) -> None:
        self.store.conversations.capture([conversation(n) for n in range(self.sent, self.sent + many)])
        self.sent += many

    def training(self, n: int) -> tuple[str, int]:
        """Id and process of the run that trains version n, once it does."""
        started = self.state / f"training-v{n}"
        self.dagster.wait_for(started.exists, f"v{n} in training", 90)
        process = int(started.read_text(encoding="ascii"))
        started.unlink()
        return str(self.store.versions.get(n).owner), process

    def go(self) -> None:
        (self.state / "go").touch()

    def ended(self, n: int) -> str:
        self.dagster.wait_for(lambda: self.store.versions.next_number() > n, f"v{n}", 90)
        self.dagster.wait_for(lambda: not self.store.versions.get(n).unfinished, f"an end of v{n}", 90)
        return self.store.versions.get(n).state

    def run_ended(self, run_id: str) -> str:
        over = ("SUCCESS", "FAILURE", "CANCELED")
        return (
            self.dagster.wait_for(
                lambda: status if (status := self.dagster.status(run_id)) in over else None, f"an end of {run_id[:8]}"
            )
            or ""
        )

    def each_conversation_is_in_one_version(self) -> bool:
        versions = range(1, self.store.versions.next_number())
        ids = [row.conversation.id for n in versions for row in self.store.versions.rows(n)]
        return sorted(ids) == [f"c{n:04d}" for n in range(self.sent)]


@pytest.fixture
def loop(state: Path, store: Store, dagster: DagsterProcess) -> Loop:
    return Loop(state, store, dagster)


def test_two_versions_by_the_sensor_alone_and_what_came_meanwhile_is_all_in_the_second(loop: Loop) -> None:
    loop.send(50)
    loop.training(1)
    for _ in range(60):
        loop.send(1)
    assert loop.store.versions.get(1).unfinished
    loop.go()
    assert loop.ended(1) == "promoted"
    assert loop.ended(2) in ("promoted", "rejected")
    assert [len(loop.store.versions.rows(n)) for n in (1, 2)] == [50, 60]
    assert loop.each_conversation_is_in_one_version()


def test_a_killed_run_worker_is_followed_by_another_that_finishes_the_same_version(loop: Loop) -> None:
    n = loop.store.versions.next_number()
    loop.store.pause.clear("a test")
    loop.send(50)
    run_id, process = loop.training(n)
    os.kill(process, signal.SIGKILL)
    assert loop.run_ended(run_id) == "FAILURE"
    second, _ = loop.training(n)
    assert second != run_id
    loop.go()
    loop.ended(n)
    assert loop.store.versions.get(n).attempts == 2
    assert loop.run_ended(second) == "SUCCESS"
    assert loop.each_conversation_is_in_one_version()


def test_after_a_power_loss_the_zombie_is_ended_and_its_version_finished(loop: Loop) -> None:
    n = loop.store.versions.next_number()
    loop.store.pause.clear("a test")
    loop.send(50)
    zombie, _ = loop.training(n)
    loop.dagster.lose_power()
    assert loop.dagster.status(zombie) == "STARTED"
    assert loop.run_ended(zombie) == "FAILURE"
    loop.training(n)
    loop.go()
    loop.ended(n)
    assert loop.each_conversation_is_in_one_version()


def test_a_run_cancelled_in_the_pages_is_not_fought_until_a_person_resumes(loop: Loop) -> None:
    n = loop.store.versions.next_number()
    loop.store.pause.clear("a test")
    loop.send(50)
    run_id, _ = loop.training(n)
    loop.dagster.cancel(run_id)
    assert loop.run_ended(run_id) == "CANCELED"
    loop.dagster.wait_for(lambda: "was stopped by a person" in loop.dagster.sensor_says(), "a sensor that waits")
    assert loop.store.versions.get(n).released
    loop.store.versions.resume(n)
    loop.go()
    loop.ended(n)
    assert loop.store.versions.get(n).attempts == 1, "a cancelled run is no failed attempt"
    assert loop.each_conversation_is_in_one_version()


def test_materialize_trains_below_the_threshold_and_waits_its_turn(loop: Loop) -> None:
    n = loop.store.versions.next_number()
    loop.store.pause.clear("a test")
    loop.send(3)
    first = loop.dagster.materialize(*ORDER)
    loop.training(n)
    loop.send(2)
    second = loop.dagster.materialize(*ORDER)
    loop.dagster.wait_for(lambda: loop.dagster.status(second) == "QUEUED", "the second run in the queue")
    loop.go()
    assert loop.run_ended(first) == "SUCCESS"
    assert loop.run_ended(second) == "SUCCESS"
    assert [len(loop.store.versions.rows(m)) for m in (n, n + 1)] == [3, 2]
    tags = {run["runId"]: run["tags"].get(VERSION_TAG) for run in loop.dagster.runs()}
    assert (tags[first], tags[second]) == (str(n), str(n + 1))
    assert loop.each_conversation_is_in_one_version()
