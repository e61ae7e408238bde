import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from core.manifest import Manifest
from core.sides import Side
from resources import dataset_page, datasets, expectations
from resources.dataset_columns import DatasetRow
from resources.dataset_description import Description, describe
from resources.dataset_statistics import large_drifts
from tests.workshop import conversation

REASONS = {"too_many_tokens": 3, "looping": 1}


def row(number: int, side: Side = "train", **found: object) -> DatasetRow:
    one = conversation(number, reply=f"An unmistakable answer, number {number}.")
    known = {"unit": f"user:u{number}", "version": 1, "cluster": number, "tokens": 20, "language": "en", "quality": 0.9}
    return DatasetRow(side, one, **{**known, **found})  # type: ignore[arg-type]


def written(folder: Path, rows: list[DatasetRow], version: int = 1) -> Manifest:
    fields = {"base_fingerprint": "b", "parent": None, "details": {}, "counts": {"masked.email": 2}}
    return datasets.write(folder, [rows], version=version, **fields)  # type: ignore[arg-type]


def described(folder: Path, rows: list[DatasetRow], version: int = 1, max_tokens: int = 100) -> Description:
    manifest = written(folder / "dataset", rows, version)
    return describe(folder / "dataset", manifest, REASONS, folder / "reports", max_tokens)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Description:
    sides: list[Side] = ["train", "train", "train", "held_out", "validation"]
    return described(tmp_path_factory.mktemp("usual"), [row(n, sides[n % 5]) for n in range(50)])


def test_a_sound_dataset_meets_every_expectation(usual: Description) -> None:
    assert [one.name for one in usual.outcomes if not one.passed] == []
    assert [one.name for one in usual.outcomes] == [one.name for one in expectations.expectations()]


def test_the_statistics_are_those_of_the_files(usual: Description) -> None:
    found = usual.statistics
    assert found["categories"]["language"] == {"en": 50}
    assert found["numbers"]["tokens"] == {"least": 20, "p5": 20, "median": 20, "mean": 20, "p95": 20, "most": 20}
    assert (found["users"], found["tokens"], found["drift"]) == (50, 1000, {})
    assert found["reply_lengths"]["50"] == 50


def test_no_text_of_a_conversation_is_in_anything_that_is_shown(usual: Description) -> None:
    folder = usual.page.parent
    assert {path.name for path in folder.iterdir()} == {
        dataset_page.PAGE, dataset_page.STATISTICS, dataset_page.EXPECTATIONS, *dataset_page.PICTURES
    }  # fmt: skip
    for path in folder.iterdir():
        assert b"unmistakable" not in path.read_bytes()
        assert b"c0001" not in path.read_bytes(), "no id either"


def test_the_page_shows_reasons_checks_and_pictures_by_itself(usual: Description) -> None:
    page = usual.page.read_text(encoding="utf-8")
    assert "too_many_tokens" in page
    assert "No longer than the model is trained on" in page
    assert "<h3>Masked</h3>" in page
    assert '<tr><td>email</td><td class="n">2</td></tr>' in page
    assert page.count("data:image/png;base64,") == 3
    assert json.loads((usual.page.parent / dataset_page.STATISTICS).read_text())["version"] == 1


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"tokens": 101}, "tokens_are_within_the_limit"),
        ({"language": "fr"}, "languages_are_known"),
        ({"quality": 1.5}, "quality_is_a_share"),
    ],
)
def test_what_is_wrong_is_found_and_counted(tmp_path: Path, wrong: dict[str, object], name: str) -> None:
    rows = [row(n, "held_out" if n % 5 == 0 else "train") for n in range(20)]
    manifest = written(tmp_path / "d", [*rows, row(20, **wrong)])
    failed = {one.name: one for one in expectations.run(tmp_path / "d", manifest, 100) if not one.passed}
    assert list(failed) == [name]
    assert failed[name].found["unexpected_count"] == 1


def test_a_manifest_that_counts_otherwise_is_found(tmp_path: Path) -> None:
    manifest = written(tmp_path / "d", [row(n, "held_out" if n % 5 == 0 else "train") for n in range(20)])
    lies = manifest.model_copy(update={"counts": {**manifest.counts, "train": 99}})
    assert [one.name for one in expectations.run(tmp_path / "d", lies, 100) if not one.passed] == ["as_many_as_counted"]


def test_drift_against_the_version_before_is_named(tmp_path: Path) -> None:
    def later(number: int) -> DatasetRow:
        moved = row(number, "held_out" if number % 5 == 0 else "train", version=2, language="ko")
        changed = moved.conversation.model_copy(update={"created_at": moved.conversation.created_at + timedelta(1)})
        return moved._replace(conversation=changed)

    earlier = [row(n, "held_out" if n % 5 == 0 else "train") for n in range(250)]
    found = described(tmp_path, [*earlier, *(later(n) for n in range(300, 600))], version=2).statistics["drift"]
    assert found["against"] == 1
    assert (found["language"]["now"], found["language"]["before"]) == (300, 250)
    assert large_drifts(found) == ["language"]
    assert found["provenance"]["psi"] < 0.01


def test_two_batches_too_small_to_compare_are_not_called_much_the_same(usual: Description) -> None:
    def said(now: int, before: int, *, large: bool) -> str:
        drift = {
            "against": 1,
            "language": {"psi": 3.4, "divergence": 0.4, "now": now, "before": before, "large": large},
        }
        return dataset_page.html({**usual.statistics, "drift": drift}, {}, [], usual.page.parent)

    assert "too few to say" in said(57, 73, large=False)
    assert "too few to say" not in said(200, 200, large=True)
    assert 'class="bad">no</span>' in said(200, 200, large=True)


@pytest.mark.slow
def test_great_expectations_is_in_no_process_that_serves_or_only_loads_the_graph() -> None:
    code = "import sys, definitions, serve.app; sys.exit(any(m.startswith('great_expectations') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
