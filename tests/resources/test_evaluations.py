"""Evaluating a version again: kept, bounded, done once at a time, and moving nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.gate import GateThresholds
from resources.evaluations import MOST_ATTEMPTS, MOST_WAITING, Again
from resources.kept import needed
from resources.reevaluation import MOST_SECONDS, Reevaluations
from resources.store import NotAllowed, NotFound, Store
from resources.trainer import ErrorClass, TrainerFailed
from tests.resources.examples import claimed, event_types
from tests.resources.experiment_examples import two_versions
from tests.resources.test_report import evaluation

METRICS = ["perplexity", "chrf"]
LEASE = 5.0


class Measures:
    """A trainer that writes what it is told to have measured; `fails` ends it otherwise, `during` happens meanwhile."""

    def __init__(self, state_dir: Path, gain: float = 0.5) -> None:
        self.state_dir, self.gain = state_dir, gain
        self.asked: list[int] = []
        self.fails: ErrorClass | None = None
        self.during: Callable[[Callable[[], None]], None] = lambda go_on: go_on()

    def evaluate_again(self, n: int, evaluation_id: int, go_on: Callable[[], None]) -> None:
        self.asked.append(evaluation_id)
        self.during(go_on)
        if self.fails:
            raise TrainerFailed(self.fails, "it ended", 1)
        folder = self.state_dir / "reports" / f"v{n}" / "evaluations" / str(evaluation_id)
        folder.mkdir(parents=True)
        found = evaluation(self.gain).model_copy(update={"version": n})
        (folder / "evaluation.json").write_text(found.model_dump_json(), encoding="utf-8")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def runner(store: Store, trainer: Any, clock: Clock | None = None) -> Reevaluations:
    return Reevaluations(store, trainer, trainer.state_dir, GateThresholds(), LEASE, clock=clock or Clock())


@pytest.fixture
def models(store: Store) -> Store:
    two_versions(store)
    return store


def test_a_result_is_kept_and_moves_nothing(models: Store, tmp_path: Path) -> None:
    before = models.champion.get()
    asked = models.evaluations.ask(1, None, METRICS)
    assert (asked.state, asked.verdict) == ("waiting", None)
    told: list[tuple[int, str]] = []
    trainer = Measures(tmp_path)
    done = Reevaluations(models, trainer, tmp_path, GateThresholds(), LEASE, lambda n, f: told.append((n, f.name)))  # type: ignore[arg-type]
    assert "is done" in (done.turn() or "")
    found = models.evaluations.get(asked.id)
    assert found.state == "done"
    assert found.verdict is not None
    assert found.verdict.promoted
    assert set(found.figures) == set(METRICS)
    assert found.figures["perplexity"]["candidate"] < found.figures["perplexity"]["base"]
    assert models.champion.get() == before
    assert told == [(1, str(asked.id))]
    page = tmp_path / "reports" / "v1" / "evaluations" / str(asked.id) / "report.html"
    assert "compared with the base" in page.read_text(encoding="utf-8")
    assert event_types(models)[-1] == "evaluated_again"
    assert done.turn() is None


def test_asked_again_with_the_same_key_it_is_the_same(models: Store) -> None:
    first = models.evaluations.ask(1, None, METRICS, "key")
    assert models.evaluations.ask(1, None, METRICS, "key") == first
    assert models.evaluations.ask(2, None, METRICS, "key").id != first.id


def test_what_cannot_be_evaluated_is_refused(models: Store) -> None:
    with pytest.raises(NotFound):
        models.evaluations.ask(9, None, METRICS)
    with pytest.raises(NotFound, match="dataset 7"):
        models.evaluations.ask(1, 7, METRICS)
    with pytest.raises(NotAllowed, match="found it removed"):
        models.evaluations.ask(1, None, METRICS, adapter_there=False)
    for _ in range(MOST_WAITING):
        models.evaluations.ask(1, None, METRICS)
    with pytest.raises(NotAllowed, match="Expected fewer than"):
        models.evaluations.ask(1, None, METRICS)


def test_while_a_version_is_in_work_none_begins(models: Store, tmp_path: Path) -> None:
    models.evaluations.ask(1, None, METRICS)
    claimed(models, "three")
    trainer = Measures(tmp_path)
    assert runner(models, trainer).turn() is None
    assert trainer.asked == []
    models.versions.stop(3)
    assert "is done" in (runner(models, trainer).turn() or ""), "one that a person stopped may stand for days"


def test_the_adapter_of_what_waits_is_kept(models: Store) -> None:
    assert models.evaluations.versions_in_need() == set()
    models.evaluations.ask(1, None, METRICS)
    assert 1 in needed(models)


def test_what_may_pass_is_tried_again_and_what_will_not_is_not(models: Store, tmp_path: Path) -> None:
    trainer = Measures(tmp_path)
    runs = runner(models, trainer)
    lasting, passing = (models.evaluations.ask(1, None, METRICS) for _ in range(2))
    trainer.fails = "DATASET_ERROR"
    runs.turn()
    assert models.evaluations.get(lasting.id).state == "failed"
    assert models.evaluations.get(lasting.id).error == "DATASET_ERROR: it ended"
    trainer.fails = "OUT_OF_MEMORY"
    for _ in range(MOST_ATTEMPTS):
        runs.turn()
    found = models.evaluations.get(passing.id)
    assert (found.state, found.attempts) == ("failed", MOST_ATTEMPTS)
    assert f"{MOST_ATTEMPTS} attempts were made" in (found.error or "")
    assert runs.turn() is None


def test_one_whose_process_died_is_taken_up_after_a_lease_and_only_then(models: Store, tmp_path: Path) -> None:
    asked = models.evaluations.ask(1, None, METRICS)
    dead = models.evaluations.begin()
    assert dead is not None
    assert models.evaluations.begin() is None, "one at a time"
    clock, trainer = Clock(), Measures(tmp_path)
    runs = runner(models, trainer, clock)
    runs.turn()
    clock.now = LEASE - 0.1
    runs.turn()
    assert trainer.asked == []
    models.evaluations.keep(dead)
    clock.now = LEASE + 0.1
    runs.turn()
    assert trainer.asked == [], "it beat meanwhile"
    clock.now += LEASE
    runs.turn()
    assert trainer.asked == [asked.id]
    assert models.evaluations.get(asked.id).attempts == 2
    assert not models.evaluations.keep(dead), "the first is fenced out"


def test_one_that_was_taken_over_leaves_the_result_of_the_other(models: Store, tmp_path: Path) -> None:
    asked = models.evaluations.ask(1, None, METRICS)
    clock, trainer = Clock(), Measures(tmp_path)
    taken: list[Again | None] = []

    def lose(go_on: Callable[[], None]) -> None:
        mine = models.evaluations.running()
        assert mine is not None
        models.evaluations.leave(mine, "INTERRUPTED")
        taken.append(models.evaluations.begin())
        clock.now += 10
        go_on()

    trainer.during = lose
    runner(models, trainer, clock).turn()
    assert models.evaluations.get(asked.id).state == "running"
    assert taken[0] is not None
    assert models.evaluations.keep(taken[0])


def test_one_that_does_not_end_is_ended(models: Store, tmp_path: Path) -> None:
    asked = models.evaluations.ask(1, None, METRICS)
    clock, trainer = Clock(), Measures(tmp_path)

    def stand_still(go_on: Callable[[], None]) -> None:
        clock.now += MOST_SECONDS + 1
        go_on()

    trainer.during = stand_still
    runner(models, trainer, clock).turn()
    assert models.evaluations.get(asked.id).state == "failed"
