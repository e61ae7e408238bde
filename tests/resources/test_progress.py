import math
from dataclasses import replace

from resources.progress import Progress
from resources.store import Store
from tests.resources.examples import claimed, conclude


def at(step: int, loss: float | None = 1.0, stage: str = "train") -> Progress:
    return Progress(step, 10, loss, 1e-4, 100.0, 5.0, stage)


def test_the_last_report_is_that_of_the_unfinished_version(store: Store) -> None:
    assert store.progress.latest() is None
    claim = claimed(store, "a")
    assert store.progress.latest() is None
    store.progress.write(claim, at(1))
    store.progress.write(claim, at(2, loss=0.5))
    latest = store.progress.latest()
    assert latest == Progress(2, 10, 0.5, 1e-4, 100.0, 5.0, "train", version=1)
    assert store.versions.get(1).stage == "train"
    conclude(store, claim)
    assert store.progress.latest() is None
    assert store.versions.get(1).stage is None


def test_a_curve_has_each_step_once_with_its_last_value(store: Store) -> None:
    claim = claimed(store, "a")
    for step in (1, 2, 3):
        store.progress.write(claim, at(step, loss=float(step)))
    again = store.versions.claim("run-2", dead_beat=store.versions.get(1).beat)
    assert again is not None
    for step in (2, 3, 4):
        store.progress.write(again, at(step, loss=10.0 + step))
    store.progress.write(again, at(1, loss=None, stage="evaluate"))
    assert [(p.stage, p.step, p.loss) for p in store.progress.curve(1)] == [
        ("train", 1, 1.0),
        ("train", 2, 12.0),
        ("train", 3, 13.0),
        ("train", 4, 14.0),
        ("evaluate", 1, None),
    ]


def test_a_validation_loss_stands_at_the_step_after_which_it_was_measured(store: Store) -> None:
    claim = claimed(store, "a")
    for step, measured in ((1, None), (2, 2.5), (3, float("nan"))):
        store.progress.write(claim, replace(at(step), validation_loss=measured))
    assert [report.validation_loss for report in store.progress.curve(1)] == [None, 2.5, None]


def test_a_loss_that_is_no_number_is_stored_as_none(store: Store) -> None:
    claim = claimed(store, "a")
    for step, loss in enumerate((math.nan, math.inf)):
        store.progress.write(claim, at(step, loss=loss))
    assert [point.loss for point in store.progress.curve(1)] == [None, None]
