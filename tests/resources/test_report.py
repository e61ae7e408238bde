from dataclasses import replace
from pathlib import Path

import pytest

from core.gate import ArtifactSanity, Evaluation, GateThresholds, PairedLoss, Verdict, judge
from core.verdict import Shown
from resources import plots, report
from resources.progress import Progress
from tests.core.examples import measured

CURVE = [Progress(step, 20, 4.0 - step / 10, 1e-4, None, None, "training") for step in range(1, 21)]


def evaluation(gain: float = 0.5, champion: int | None = None) -> Evaluation:
    def pairs(kind: str, n: int, change: float) -> tuple[PairedLoss, ...]:
        return tuple(
            PairedLoss(
                conversation_id=f"{kind}{i}",
                unit=f"{kind}{i}",
                tokens=9,
                base=3.0,
                champion=None if champion is None else 2.9,
                candidate=3.0 - change - i / 1000,
            )
            for i in range(n)
        )

    return Evaluation(
        version=4,
        base_fingerprint="b" * 16,
        champion=champion,
        held_out=pairs("h", 30, gain),
        general=pairs("g", 20, 0.0),
        sanity=ArtifactSanity(finite=True, changed=True, right_base=True),
        **measured(champion is not None),
    )


def story(gain: float = 0.5, champion: int | None = None) -> report.Story:
    found = evaluation(gain, champion)
    return report.Story(
        found,
        judge(found, GateThresholds()),
        CURVE,
        {"claimed": 60, "accepted": 50},
        {"too_many_tokens": 3, "duplicate": 7},
        {"seconds": 81.2345678, "steps": 20},
        {"dataset": "d" * 64, "MLflow run": None},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write(tmp_path_factory.mktemp("reports") / "v4", story())


def test_the_page_begins_with_the_verdict_and_its_reasons() -> None:
    text = report.markdown(story())
    assert text.startswith("# v4: promoted\n\n- The loss of v4 is 0.514 nats a token lower than that of the base")
    assert report.markdown(story(gain=-0.5)).startswith("# v4: rejected\n")


def test_losses_are_shown_by_model() -> None:
    assert "| held out | 30 | 3.000 | – | 2.486 |" in report.markdown(story())
    assert "| held out | 30 | 3.000 | 2.900 | 2.486 |" in report.markdown(story(champion=3))


def test_every_check_shows_what_it_takes_to_doubt_it() -> None:
    text = report.markdown(story())
    for check in story().verdict.checks:
        [line] = [line for line in text.splitlines() if line.startswith(f"| {check.name} |")]
        assert check.sentence[2:] in line
        assert len(line.split(" | ")) == 9
    assert "| p ≤ 0.05 | < 0.0001 |" in text


def test_reasons_stand_most_frequent_first() -> None:
    text = report.markdown(story())
    assert text.index("| duplicate | 7 |") < text.index("| too_many_tokens | 3 |")


def test_what_is_unknown_is_left_out_and_long_numbers_are_cut() -> None:
    text = report.markdown(story())
    assert "MLflow run" not in text
    assert "| seconds | 81.23 |" in text


def test_text_cannot_break_out_of_its_cell() -> None:
    assert report.table(["a"], [["x | y\nz"]]).splitlines()[-1] == "| x \\| y z |"


def test_pictures_lie_beside_the_page_and_are_small(page: Path) -> None:
    for name in (report.LOSS_CURVE, report.DIFFERENCES):
        data = (page.parent / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert 5_000 < len(data) < 100_000


def test_for_dagster_the_pictures_are_inside_the_page(page: Path) -> None:
    text = report.with_pictures(page)
    assert text.count("](data:image/png;base64,") == 2
    assert len(text) < report.MAX_INLINE_BYTES
    assert ".png)" not in text


def test_a_picture_that_is_too_large_stays_a_name(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(b"x" * (report.MAX_INLINE_BYTES + 1))
    assert report.picture(tmp_path / "large.png", "A picture") == "*A picture: large.png*"
    assert report.picture(tmp_path / "missing.png", "A picture") == "*A picture: missing.png*"


def test_a_missing_evaluation_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="materialise evaluation_report again"):
        report.read_evaluation(tmp_path)


def test_an_evaluation_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(evaluation().model_dump_json(), encoding="utf-8")
    assert report.read_evaluation(tmp_path) == evaluation()


def test_changes_are_sorted_and_leave_out_what_was_not_measured() -> None:
    pairs = [
        PairedLoss(conversation_id=name, unit=name, tokens=1, base=3.0, candidate=candidate)
        for name, candidate in (("a", 3.5), ("b", float("nan")), ("c", 2.0))
    ]
    assert plots.changes(pairs, None) == [-1.0, 0.5]
    assert plots.changes(pairs, 3) == []


def test_a_version_without_any_measurement_is_drawn_all_the_same(tmp_path: Path) -> None:
    nothing = evaluation().model_copy(update={"held_out": (), "general": ()})
    assert plots.differences(nothing, (), tmp_path / "d.png").stat().st_size > 0
    assert plots.loss_curve([], tmp_path / "l.png").stat().st_size > 0


def test_the_verdict_is_kept_as_data_beside_the_page(page: Path) -> None:
    kept = Verdict.model_validate_json((page.parent / report.VERDICT).read_bytes())
    assert kept == story().verdict
    assert {"small_tasks", "latency", "general_non_inferiority"} <= {check.name for check in kept.checks}


def test_answers_stand_side_by_side_and_cannot_break_the_table() -> None:
    shown = (
        Shown(probe="open-en-01", question="Why?", base="Because | so.", candidate="Since\nthen.", champion="Thus."),
    )
    against_base, against_v3 = (
        report.markdown(replace(found, evaluation=found.evaluation.model_copy(update={"shown": shown})))
        for found in (story(), story(champion=3))
    )
    assert "| Why? | Because \\| so. | Since then. |" in against_base
    assert "| Why? | Thus. | Since then. |" in against_v3
