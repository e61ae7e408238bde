import math
from pathlib import Path

import pytest

from core.rendering import Rendered
from wrappers.lora_model import WEIGHTS
from wrappers.loss_cache import LossCache

TEXTS = [Rendered((1, 2, 3), (-100, 2, 3)), Rendered((4, 5), (-100, 5))]


class Measure:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> list[float]:
        self.asked += 1
        return [float(self.asked), math.nan]


@pytest.fixture
def measure() -> Measure:
    return Measure()


def adapter(folder: Path, content: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(content)
    return folder


def test_the_same_question_is_measured_once_even_by_another_process(tmp_path: Path, measure: Measure) -> None:
    for _ in range(2):
        losses = LossCache(tmp_path / "cache", "base").losses(None, 256, TEXTS, measure)
        assert losses[0] == 1.0
        assert math.isnan(losses[1])
    assert measure.asked == 1


def test_anything_that_could_change_a_loss_is_another_question(tmp_path: Path, measure: Measure) -> None:
    first, second = adapter(tmp_path / "v1"), adapter(tmp_path / "v2", b"others")
    questions = [
        ("base", None, 256, TEXTS),
        ("other", None, 256, TEXTS),
        ("base", first, 256, TEXTS),
        ("base", second, 256, TEXTS),
        ("base", None, 512, TEXTS),
        ("base", None, 256, TEXTS[::-1]),
        ("base", None, 256, [TEXTS[0], Rendered((4, 5), (4, 5))]),
    ]
    for base, folder, rows, texts in questions:
        LossCache(tmp_path / "cache", base).losses(folder, rows, texts, measure)
    assert measure.asked == len(questions)


def test_equal_weights_in_another_folder_are_the_same_question(tmp_path: Path, measure: Measure) -> None:
    for name in ("v1", "copy"):
        LossCache(tmp_path / "cache", "base").losses(adapter(tmp_path / name), 256, TEXTS, measure)
    assert measure.asked == 1


@pytest.mark.parametrize("damage", ["", "{}", "[1.0]", "[1.0, null]", '[1.0, "2"]'])
def test_a_damaged_file_is_measured_anew(tmp_path: Path, measure: Measure, damage: str) -> None:
    cache = LossCache(tmp_path / "cache", "base")
    cache.losses(None, 256, TEXTS, measure)
    (path,) = (tmp_path / "cache").iterdir()
    path.write_text(damage)
    assert cache.losses(None, 256, TEXTS, measure)[0] == 2.0
    assert cache.losses(None, 256, TEXTS, measure)[0] == 2.0


def test_files_are_bounded_and_what_is_asked_for_stays(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wrappers.loss_cache._KEPT", 2)
    cache = LossCache(tmp_path / "cache", "base")
    for rows in (1, 2, 1, 3, 1):
        cache.losses(None, rows, TEXTS, measure)
    assert measure.asked == 3
    assert len(list((tmp_path / "cache").iterdir())) == 2
