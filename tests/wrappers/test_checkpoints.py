from pathlib import Path

import pytest
import torch

from core.recipe import Recipe
from resources import folders
from wrappers.checkpoints import TENSORS, Checkpoints, Origin, TrainingState

ORIGIN = Origin(version=3, base_fingerprint="base", dataset_hash="data", recipe=Recipe())


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "v3", publish=folders.publish, check=folders.check, hashes=folders.hashes)


def state(step: int) -> TrainingState:
    return TrainingState(step, {"weight.a": torch.full((2, 2), float(step))}, {"losses": [1.5] * step})


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "v3").iterdir())


def test_what_was_saved_is_read_back(kept: Checkpoints) -> None:
    kept.save(state(40), ORIGIN)
    found, manifest = kept.newest() or pytest.fail("nothing saved")
    assert (found.step, found.figures) == (40, {"losses": [1.5] * 40})
    assert found.tensors["weight.a"].equal(torch.full((2, 2), 40.0))
    assert (manifest.kind, manifest.version, manifest.seed) == ("checkpoint", 3, Recipe().seed)


def test_there_is_none_before_the_first(kept: Checkpoints) -> None:
    assert kept.newest() is None


def test_the_last_two_are_kept(kept: Checkpoints, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        kept.save(state(step), ORIGIN)
    assert names(tmp_path) == ["step-000002", "step-000003"]


def measured(step: int, validation_loss: float) -> TrainingState:
    return TrainingState(step, {"weight.a": torch.zeros(1)}, {}, {"validation_loss": validation_loss})


def test_as_many_as_wanted_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "v3", publish=folders.publish, check=folders.check, hashes=folders.hashes, keep=3)
    for step in range(1, 8):
        kept.save(state(step), ORIGIN)
    assert names(tmp_path) == ["step-000005", "step-000006", "step-000007"]


def test_the_best_by_validation_loss_stays_beside_the_last_two(kept: Checkpoints, tmp_path: Path) -> None:
    for step, loss in enumerate((2.5, 2.1, 2.2, 2.1, 2.4, 2.6, float("nan")), start=1):
        kept.save(measured(step, loss), ORIGIN)
    assert names(tmp_path) == ["step-000004", "step-000006", "step-000007"], "of two equals the newer"
    found, manifest = kept.best() or pytest.fail("no best")
    assert (found.step, manifest.details["validation_loss"]) == (4, "2.1")


def test_a_damaged_best_is_passed_over_for_the_next_best(kept: Checkpoints) -> None:
    folder = kept.save(measured(1, 2.1), ORIGIN)
    kept.save(measured(2, 2.5), ORIGIN)
    (folder / TENSORS).write_bytes(b"torn")
    assert (kept.best() or pytest.fail("no best"))[0].step == 2


def test_without_a_measure_there_is_no_best(kept: Checkpoints) -> None:
    kept.save(state(1), ORIGIN)
    assert kept.best() is None


@pytest.mark.parametrize("damage", ["flip", "cut", "no manifest", "extra file"])
def test_a_damaged_newest_is_passed_over_for_the_one_before(kept: Checkpoints, damage: str) -> None:
    kept.save(state(1), ORIGIN)
    newest = kept.save(state(2), ORIGIN)
    content = bytearray((newest / TENSORS).read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        (newest / TENSORS).write_bytes(content)
    elif damage == "cut":
        (newest / TENSORS).write_bytes(content[:-4])
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        (newest / "state.pkl").write_bytes(b"")
    found, _ = kept.newest() or pytest.fail("the one before was lost")
    assert found.step == 1


def test_what_a_killed_writer_left_is_neither_read_nor_in_the_way(kept: Checkpoints, tmp_path: Path) -> None:
    kept.save(state(1), ORIGIN)
    half = tmp_path / "v3" / "step-000002.tmp"
    half.mkdir()
    (half / TENSORS).write_bytes(b"half")
    assert (kept.newest() or pytest.fail("lost"))[0].step == 1
    kept.save(state(2), ORIGIN)
    assert (kept.newest() or pytest.fail("lost"))[0].step == 2


def test_one_whose_removal_is_broken_off_says_of_itself_that_it_is_none(
    kept: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda *arguments, **named: None)
    for step in (1, 2, 3):
        kept.save(state(step), ORIGIN)
    assert not (tmp_path / "v3" / "step-000001" / "manifest.json").exists()
    kept.clear()
    assert kept.newest() is None
    assert list((tmp_path / "v3").rglob("manifest.json")) == []


def test_nothing_is_pickled(kept: Checkpoints) -> None:
    folder = kept.save(state(1), ORIGIN)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}


@pytest.mark.parametrize(
    "other",
    [
        Origin(version=3, base_fingerprint="other", dataset_hash="data", recipe=Recipe()),
        Origin(version=3, base_fingerprint="base", dataset_hash="other", recipe=Recipe()),
        Origin(version=3, base_fingerprint="base", dataset_hash="data", recipe=Recipe(epochs=7)),
        Origin(version=3, base_fingerprint="base", dataset_hash="data", recipe=Recipe(), parent=2),
    ],
)
def test_a_training_of_another_origin_did_not_lead_here(kept: Checkpoints, other: Origin) -> None:
    kept.save(state(1), ORIGIN)
    _, manifest = kept.newest() or pytest.fail("nothing saved")
    assert ORIGIN.led_to(manifest)
    assert not other.led_to(manifest)
