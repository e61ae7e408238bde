"""train.py as a process of its own, on a tiny model and a real store."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from core.conversation import Conversation
from core.gate import Evaluation, GateThresholds, judge
from core.live_settings import LiveSettings
from core.manifest import Manifest
from core.recipe import Method, Recipe
from core.wish import Wish
from resources import adapters, base_model, datasets, whole_models
from resources.feedback import Feedback
from resources.holding import begin, holding
from resources.job_files import checkpoint_rows
from resources.reevaluation import Reevaluations
from resources.store import Store, open_store
from resources.trainer import FENCED_OUT, INTERRUPTED, TrainerFailed, TrainerProcess
from resources.versions import Claim
from tests.dataset_folder import write_dataset
from tests.resources.test_golden_sets import line, uploaded
from tests.wrappers.tiny_model import save_tiny_model, short_conversations

pytestmark = pytest.mark.slow  # each process imports torch

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 120
TRAIN, HELD_OUT = 20, 8


@dataclass
class Shop:
    """A state folder with one claimed version and its dataset."""

    state: Path
    store: Store
    fingerprint: str
    environment: dict[str, str]
    claim: Claim

    def command(self, stage: str, fence: int | None = None) -> list[str]:
        fence = self.claim.fence if fence is None else fence
        return [
            *(sys.executable, str(ROOT / "train.py"), "--stage", stage),
            *("--version", str(self.claim.n), "--fence", str(fence)),
        ]

    def run(self, stage: str, fence: int | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(stage, fence),
            env={**self.environment, **environment},
            cwd=self.state,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def start(self, stage: str, **environment: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(stage), env={**self.environment, **environment}, cwd=self.state, stderr=subprocess.DEVNULL
        )

    def adapter(self) -> Path:
        return self.state / "adapters" / f"v{self.claim.n}"

    def evaluation(self) -> Evaluation:
        path = self.state / "reports" / f"v{self.claim.n}" / "evaluation.json"
        return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))

    def dataset(self, train: list[Conversation], held_out: list[Conversation], **changed: object) -> Manifest:
        fields = {"version": self.claim.n, "base_fingerprint": self.fingerprint, "parent": None, "details": {}}
        units = {conversation.id: f"user:{conversation.id}" for conversation in (*train, *held_out)}
        folder = self.state / "datasets" / f"v{self.claim.n}"
        return write_dataset(folder, train, held_out, units=units, **{**fields, **changed})


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "tiny")
    return folder


@pytest.fixture
def shop(tmp_path: Path, models: Path, sqlite_url: str) -> Iterator[Shop]:
    """One whose training takes a second or two."""
    yield from opened(tmp_path, models, sqlite_url, epochs=2)


@pytest.fixture
def long_shop(tmp_path: Path, models: Path, sqlite_url: str) -> Iterator[Shop]:
    """One whose training takes long enough to be interrupted."""
    yield from opened(tmp_path, models, sqlite_url, epochs=20)


def opened(state: Path, models: Path, url: str, epochs: int, method: Method = "lora") -> Iterator[Shop]:
    fingerprint = base_model.fingerprint(base_model.resolve("tiny", models))
    store = open_store(
        url, live_defaults=LiveSettings(finetune_epochs=epochs, finetune_method=method), lineage=fingerprint
    )
    conversations = short_conversations(TRAIN + HELD_OUT)
    store.conversations.capture(conversations)
    claim = store.versions.claim("run-1")
    assert claim is not None
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
        "STATE_DIR": str(state),
        "MODELS_DIR": str(models),
        "DATABASE_URL": url,
        "BASE_MODEL": "tiny",
        "FINETUNE_LEARNING_RATE": "0.005",
        "FINETUNE_LORA_RANK": "4",
        "FINETUNE_PACK_TOKENS": "256",
        "PER_DEVICE_TRAIN_BATCH_SIZE": "1",
        "OMP_NUM_THREADS": "1",
    }
    shop = Shop(state, store, fingerprint, environment, claim)
    shop.dataset(conversations[:TRAIN], conversations[TRAIN:])
    yield shop
    store.close()


@pytest.fixture
def make_shop(tmp_path: Path, models: Path, sqlite_url: str) -> Iterator[Callable[[Method], Shop]]:
    """One that trains by another method."""
    with ExitStack() as open_shops:
        yield lambda method: open_shops.enter_context(
            contextmanager(opened)(tmp_path, models, sqlite_url, epochs=1, method=method)
        )


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def said(ended: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    return json.loads(ended.stderr.splitlines()[-1])


def test_both_stages_leave_what_the_graph_needs_and_training_twice_changes_nothing(shop: Shop) -> None:
    assert shop.run("train").returncode == 0
    manifest = adapters.verify(shop.adapter(), shop.fingerprint)
    assert manifest.dataset_hash == datasets.read_manifest(shop.state / "datasets" / "v1").dataset_hash
    assert (manifest.counts["conversations"], manifest.recipe["epochs"]) == (TRAIN, 2)
    assert float(manifest.details["final_loss"]) < float(manifest.details["first_loss"])
    curve = shop.store.progress.curve(1)
    assert curve[-1].step == curve[-1].total_steps == manifest.counts["steps"]
    assert not (shop.state / "checkpoints" / "v1").exists()
    assert shop.run("train").returncode == 0
    assert adapters.verify(shop.adapter(), shop.fingerprint) == manifest
    assert shop.run("evaluate").returncode == 0
    result = shop.evaluation()
    assert (len(result.held_out), len(result.general), result.champion) == (HELD_OUT, 100, None)
    assert result.sanity.changed
    units = {pair.unit for pair in result.held_out}
    assert len(units) == len(result.held_out), "one of each, as in the dataset"
    assert all(re.fullmatch(r"unit-\d+", unit) for unit in units), "a report names nobody"
    assert (shop.state / "logs" / "trainer-v1.log").stat().st_size > 0


def test_what_a_job_asked_for_is_what_is_trained(shop: Shop) -> None:
    shop.store.versions.abandon(1, "for this test")
    asked = {"rank": 2, "epochs": 1, "targets": ["q_proj"], "tokens_per_step": 512, "learning_rate": 0.004}
    shop.store.jobs.ask(Wish(job_name="small", recipe=asked))
    shop.claim = shop.store.versions.claim("run-2") or pytest.fail("not claimed")
    conversations = short_conversations(TRAIN + HELD_OUT)
    shop.dataset(conversations[:TRAIN], conversations[TRAIN:])
    assert shop.run("train").returncode == 0
    manifest = adapters.verify(shop.adapter(), shop.fingerprint)
    assert {name: manifest.recipe[name] for name in asked} == asked
    assert manifest.recipe["pack_tokens"] == 256, "what was not asked for is as the settings have it"
    assert json.loads((shop.adapter() / adapters.CONFIG).read_text(encoding="utf-8"))["r"] == 2


def test_after_memory_ran_out_rows_are_half_as_long_and_the_training_goes_on_from_its_checkpoint(
    long_shop: Shop,
) -> None:
    process = long_shop.start("train", CHECKPOINT_SECONDS="0.001")
    wait_until(lambda: list(long_shop.state.glob("checkpoints/v1/step-*/manifest.json")))
    process.kill()
    process.wait()
    long_shop.store.versions.fail(long_shop.claim, "OUT_OF_MEMORY", "The kernel ended the trainer")
    long_shop.claim = long_shop.store.versions.claim("run-2") or pytest.fail("not claimed again")
    assert long_shop.run("train").returncode == 0
    log = (long_shop.state / "logs" / "trainer-v1.log").read_text(encoding="utf-8")
    assert "rows of 128 instead of 256 tokens" in log
    assert "Going on after step" in log
    manifest = adapters.verify(long_shop.adapter(), long_shop.fingerprint)
    assert manifest.recipe["pack_tokens"] == 256, "what was asked for stays what was asked for"


def test_a_golden_set_is_measured_in_the_verdict_and_by_itself_when_asked_again(shop: Shop) -> None:
    _, second = (uploaded(shop.store, shop.state / "uploads", line(instruction=f"질문 {at}"), version=f"{at}.0.0")
                     for at in (1, 2))  # fmt: skip
    assert shop.run("train").returncode == 0
    assert shop.run("evaluate").returncode == 0
    found = shop.evaluation()
    assert found.golden is not None
    assert len(found.golden) == 2
    by_name = {check.name: check for check in judge(found, GateThresholds()).checks}
    assert by_name["golden_non_inferiority"].n == 2
    assert "golden_overlap" in by_name
    shop.store.versions.mark_trained(shop.claim, "a" * 64, {})
    shop.store.versions.set_verdict(shop.claim, judge(found, GateThresholds()), "report.md")
    shop.store.versions.conclude(shop.claim, None)
    again = shop.store.evaluations.ask(1, second, ["f1"])
    trainer = TrainerProcess(
        [sys.executable, str(ROOT / "train.py")], log_dir=shop.state / "logs", environment=shop.environment
    )
    done = Reevaluations(shop.store, trainer, shop.state, GateThresholds(), 5.0).turn()
    assert done == f"evaluation {again.id} of v1 is done", shop.store.evaluations.get(again.id).error
    kept = shop.state / "reports" / "v1" / "evaluations" / str(again.id) / "evaluation.json"
    [pair] = Evaluation.model_validate_json(kept.read_bytes()).golden or ()
    others = {one.conversation_id for one in found.golden} - {pair.conversation_id}
    assert len(others) == 1, "the one set alone"
    assert set(shop.store.evaluations.get(again.id).figures["f1"]) == {"base", "candidate"}
    assert shop.evaluation() == found, "the verdict's own measurements stay"


def test_a_trainer_told_to_stop_saves_and_the_next_one_goes_on(long_shop: Shop) -> None:
    process = long_shop.start("train", CHECKPOINT_SECONDS="3600")
    wait_until(lambda: long_shop.store.progress.curve(1))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == INTERRUPTED
    (checkpoint,) = (long_shop.state / "checkpoints" / "v1").iterdir()
    reached = int(checkpoint.name.removeprefix("step-"))
    assert not long_shop.adapter().exists()
    long_shop.store.versions.release(long_shop.claim)
    long_shop.claim = long_shop.store.versions.claim("run-2") or pytest.fail("not claimed again")
    assert long_shop.run("train").returncode == 0
    log = (long_shop.state / "logs" / "trainer-v1.log").read_text(encoding="utf-8")
    assert f"Going on after step {reached} of " in log
    gone = {row["step"]: row for row in checkpoint_rows(long_shop.state, 1)}
    assert (gone[reached]["kept"], checkpoint.exists()) == (False, False), "told, though nothing goes on from it"
    assert adapters.verify(long_shop.adapter(), long_shop.fingerprint).counts["conversations"] == TRAIN


def test_a_training_stopped_and_resumed_as_a_job_ends_where_an_unbroken_one_does(
    tmp_path: Path, models: Path, migrated_sqlite: Path
) -> None:
    """To one part in ten thousand of each weight's own size, or 1e-5: dropout, schedule and moments go on too."""
    ended = []
    for name in ("unbroken", "stopped"):
        (tmp_path / name).mkdir()
        shutil.copy(migrated_sqlite, tmp_path / name / "whetstone.db")
        for shop in opened(tmp_path / name, models, f"sqlite:///{tmp_path / name / 'whetstone.db'}", epochs=20):
            environment = {"FINETUNE_LORA_DROPOUT": "0.1", "CHECKPOINT_SECONDS": "3600"}
            if name == "stopped":
                process = shop.start("train", **environment)
                wait_until(lambda shop=shop: shop.store.progress.curve(1))
                shop.store.jobs.stop(1)
                assert process.wait(PATIENCE_SECONDS) == INTERRUPTED
                assert len(list(shop.state.glob("checkpoints/v1/step-*/manifest.json"))) == 1
                shop.store.versions.release(shop.claim)
                shop.store.jobs.resume(1)
                shop.claim = shop.store.versions.claim("run-2") or pytest.fail("not claimed again")
            assert shop.run("train", **environment).returncode == 0
            ended.append(load_file(shop.adapter() / adapters.WEIGHTS))
            if name == "stopped":
                log = (shop.state / "logs" / "trainer-v1.log").read_text(encoding="utf-8")
                assert "Going on after step" in log
    assert ended[0].keys() == ended[1].keys()
    for name, expected in ended[0].items():
        np.testing.assert_allclose(ended[1][name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_killed_trainer_loses_only_what_came_after_its_last_checkpoint(long_shop: Shop) -> None:
    process = long_shop.start("train", CHECKPOINT_SECONDS="0.001")
    wait_until(lambda: list(long_shop.state.glob("checkpoints/v1/step-*/manifest.json")))
    process.kill()
    process.wait()
    assert long_shop.run("train").returncode == 0
    assert "Going on after step" in (long_shop.state / "logs" / "trainer-v1.log").read_text(encoding="utf-8")


def test_a_trainer_that_hangs_is_ended_and_the_version_is_free_for_the_next_attempt(long_shop: Shop) -> None:
    """The process that started it lives, and beats for the version all the while."""
    store = long_shop.store

    def hang(_: object) -> None:
        if not list(long_shop.state.glob("checkpoints/v1/step-*/manifest.json")):
            return
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            if b"--version" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGSTOP)
        trainer._silence_seconds = 2.0

    trainer = TrainerProcess(
        [sys.executable, str(ROOT / "train.py")], log_dir=long_shop.state / "logs", latest=store.progress.latest,
        environment={**long_shop.environment, "CHECKPOINT_SECONDS": "0.001"}, poll_seconds=0.05, grace_seconds=0.1,
        silence_seconds=PATIENCE_SECONDS,
    )  # fmt: skip
    with pytest.raises(TrainerFailed, match="the trainer hung"), holding(store, long_shop.claim):
        trainer.run("train", long_shop.claim, hang)
    failed = store.versions.get(1)
    assert (failed.state, failed.released, failed.attempts) == ("open", True, 1)
    assert failed.backoff_seconds > 0, "the sensor waits before it begins again"
    assert begin(store, "run-2").attempt == 2


def test_a_person_can_stop_it(long_shop: Shop) -> None:
    process = long_shop.start("train")
    wait_until(lambda: long_shop.store.progress.curve(1))
    long_shop.store.versions.stop(1)
    assert process.wait(PATIENCE_SECONDS) == INTERRUPTED


def test_a_trainer_whose_claim_is_lost_ends_without_writing(long_shop: Shop) -> None:
    process = long_shop.start("train")
    wait_until(lambda: long_shop.store.progress.curve(1))
    long_shop.store.versions.release(long_shop.claim)
    assert long_shop.store.versions.claim("run-2") is not None
    assert process.wait(PATIENCE_SECONDS) == FENCED_OUT
    assert not long_shop.adapter().exists()


def test_an_old_fence_ends_before_it_begins(shop: Shop) -> None:
    assert shop.run("train", fence=shop.claim.fence - 1).returncode == FENCED_OUT
    assert not (shop.state / "adapters").exists()


def test_a_missing_dataset_is_a_dataset_error(shop: Shop) -> None:
    (shop.state / "datasets" / "v1").rename(shop.state / "elsewhere")
    ended = shop.run("train")
    assert ended.returncode == 1
    assert said(ended)["error_class"] == "DATASET_ERROR"
    assert "datasets/v1" in said(ended)["message"]


def test_a_dataset_of_nothing_short_enough_is_a_dataset_error(shop: Shop) -> None:
    ended = shop.run("train", FINETUNE_MAX_LENGTH="16")
    assert (ended.returncode, said(ended)["error_class"]) == (1, "DATASET_ERROR")
    assert not shop.adapter().exists()


def test_a_missing_base_is_said_in_one_sentence(shop: Shop) -> None:
    ended = shop.run("train", BASE_MODEL="nowhere")
    assert (ended.returncode, said(ended)["error_class"]) == (1, "UNKNOWN_ERROR")
    assert "BASE_MODEL=nowhere" in said(ended)["message"]


def test_the_second_version_is_compared_with_the_champion_and_may_start_from_it(shop: Shop) -> None:
    assert shop.run("train").returncode == 0
    manifest = adapters.verify(shop.adapter(), shop.fingerprint)
    shop.store.versions.mark_trained(shop.claim, manifest.files[adapters.WEIGHTS], {})
    promote(shop)
    shop.store.settings.change({"start_from": "champion"}, "test")
    late = [c.model_copy(update={"id": f"late-{c.id}", "reply": f"{c.reply} Yes."}) for c in short_conversations(12)]
    shop.store.conversations.capture(late)
    shop.claim = shop.store.versions.claim("run-2") or pytest.fail("nothing to claim")
    assert shop.claim.n == 2
    shop.dataset([*short_conversations(TRAIN), *late[:6]], late[6:])
    assert shop.run("train").returncode == 0
    second = adapters.verify(shop.adapter(), shop.fingerprint)
    assert second.parent == 1
    assert second.counts["conversations"] == 6, "from the champion only its own conversations are new"
    assert second.counts["replay_pool"] == 120 + TRAIN
    assert shop.run("evaluate").returncode == 0
    result = shop.evaluation()
    assert result.champion == 1
    assert all(pair.champion is not None and pair.champion != pair.candidate for pair in result.held_out)


def test_a_candidate_that_was_changed_on_disk_is_judged_unsound_and_not_loaded(shop: Shop) -> None:
    assert shop.run("train").returncode == 0
    weights = shop.adapter() / adapters.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert shop.run("evaluate").returncode == 0
    result = shop.evaluation()
    assert not result.sanity.finite
    assert "Expected SHA-256" in result.sanity.detail
    assert not result.held_out


def test_a_whole_model_lies_apart_from_adapters_and_is_measured_beside_them(make_shop) -> None:
    shop = make_shop("full")
    assert shop.run("train").returncode == 0
    assert not shop.adapter().exists()
    folder = shop.state / "trained_models" / "v1"
    manifest = whole_models.verify(folder, shop.fingerprint)
    assert manifest.recipe["method"] == "full"
    assert shop.run("evaluate").returncode == 0
    result = shop.evaluation()
    assert result.whole_model
    assert result.sanity.changed
    assert shop.run("train").returncode == 0, "done already"
    assert base_model.resolve(str(folder), shop.state) == folder


def test_what_people_corrected_is_learned_after_the_conversations(make_shop) -> None:
    shop = make_shop("dpo")
    (said,) = short_conversations(TRAIN)[:1]
    shop.store.conversations.feedback(Feedback(conversation_id=said.id, corrected_reply="Something better."))
    corrected = shop.store.conversations.get(f"{said.id}.corrected") or pytest.fail("no correction")
    shop.dataset([*short_conversations(TRAIN), corrected.conversation], short_conversations(TRAIN + HELD_OUT)[TRAIN:])
    assert shop.run("train", FINETUNE_MIN_CORRECTIONS="2").returncode == 0
    assert "preferences" not in adapters.verify(shop.adapter(), shop.fingerprint).counts
    (event,) = shop.store.events.page(type="preferences_too_few")
    assert event.message == "v1, dpo: Expected at least 2 corrected replies, found 1: it is trained without them"
    (shop.adapter() / "manifest.json").unlink()
    assert shop.run("train", FINETUNE_MIN_CORRECTIONS="1").returncode == 0
    manifest = adapters.verify(shop.adapter(), shop.fingerprint)
    assert manifest.counts["preferences"] == 1
    assert "trl" in manifest.library_versions
    log = (shop.state / "logs" / "trainer-v1.log").read_text(encoding="utf-8")
    assert "Something better" not in log


@pytest.mark.parametrize(
    ("method", "gpus", "processes"), [("lora", (), 3), ("lora", (0, 2), 2), ("full", (1,), 1), ("dpo", (0, 2), 1)]
)
def test_each_gpu_that_was_asked_for_gets_a_process(method: Method, gpus: tuple[int, ...], processes: int) -> None:
    from core.wish import Wish
    from stages.train import _processes
    from wrappers.checkpoints import Origin

    version = SimpleNamespace(settings=Wish(gpu_ids=gpus).settings({}))
    work = SimpleNamespace(settings=SimpleNamespace(finetune_processes=3), version=version)
    assert _processes(work, Origin(1, "base", "data", Recipe(method=method))) == processes


@pytest.mark.parametrize(
    ("before", "asked", "alone", "visible"),
    [
        ("0,1", (), False, "0,1"), ("0,1", (2, 3), False, "2,3"), ("0,1", (2, 3), True, "2"), ("1,0", (), True, "1"),
        (None, (), True, "0"), (None, (), False, None), ("", (), True, ""),
    ],
)  # fmt: skip
def test_preferences_see_one_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, before: str | None, asked: tuple[int, ...], alone: bool, visible: str | None
) -> None:
    from train import _use_gpus

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    _use_gpus(asked, alone=alone)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_several_processes_train_one_version_and_none_is_left(shop: Shop) -> None:
    ended = shop.run("train", FINETUNE_PROCESSES="2", FINETUNE_TOKENS_PER_STEP="1024", PER_DEVICE_TRAIN_BATCH_SIZE="")
    assert ended.returncode == 0, ended.stderr
    manifest = adapters.verify(shop.adapter(), shop.fingerprint)
    assert manifest.counts["conversations"] == TRAIN
    assert shop.store.progress.curve(1)[-1].step == manifest.counts["steps"]


def promote(shop: Shop) -> None:
    from core.gate import GateThresholds, Verdict

    verdict = Verdict(promoted=True, reasons=("for the test",), checks=(), thresholds=GateThresholds())
    shop.store.versions.set_verdict(shop.claim, verdict, "report.md")
    shop.store.versions.conclude(shop.claim, "1")
