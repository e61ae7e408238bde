"""What a bench prints, keeps and exits with."""

import json
from pathlib import Path

import pytest

from bench.report import Figure, Report, Target, load, table


def test_a_bench_whose_targets_hold_exits_0_and_one_that_falls_short_exits_1(tmp_path: Path) -> None:
    within = Figure("seconds", 10.0, target=Target(at_most=12))
    over = Figure("seconds", 13.0, target=Target(at_most=12))
    assert Report("within", [within]).finish(tmp_path) == 0
    assert Report("over", [within, over]).finish(tmp_path) == 1


def test_a_figure_that_was_not_measured_keeps_no_target() -> None:
    assert not Figure("seconds", None, target=Target(at_most=12)).holds
    assert Figure("seconds", None).holds


@pytest.mark.parametrize(("other", "holds"), [(10.0, True), (5.0, False)])
def test_a_target_of_the_ratio_compares_ours_with_the_other(other: float, holds: bool) -> None:
    assert Figure("rate", 9.0, other=other, target=Target(at_most=1.0, of_ratio=True)).holds is holds


def test_what_is_kept_reads_back_as_the_same_report(tmp_path: Path) -> None:
    report = Report(
        "loop", [Figure("a", 1.5, "s", 3.0, "peer", Target(at_least=0.4, of_ratio=True))], {"stages": {"x": 1}}
    )
    report.finish(tmp_path)
    assert load(tmp_path / "loop.json") == report
    kept = json.loads((tmp_path / "loop.json").read_text())
    assert kept["figures"][0]["ratio"] == 0.5
    assert kept["machine"]["cpus"] >= 1


def test_one_table_holds_the_figures_of_several_benches() -> None:
    one, two = Report("one", [Figure("a", 1.0)]), Report("two", [Figure("b", 2.0), Figure("c", None)])
    assert table(one, two).row_count == 3
