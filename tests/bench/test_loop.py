"""Which figures the bench of the loop reports."""

from bench.__main__ import names
from bench.loop import figures
from bench.report import Report
from deploy.background import Seen
from deploy.timeline import Timeline


def _timeline(answered: float) -> Timeline:
    at = {"acknowledged": 0.0, "claimed": 6.0, "training": 20.0, "evaluating": 120.0, "registering": 180.0}
    return Timeline({**at, "promoted": 182.0, "answered": answered})


def test_the_whole_is_set_against_training_and_evaluation_alone() -> None:
    whole = figures(_timeline(184.0), Seen(sent=9))[0]
    assert (whole.ours, whole.other) == (184.0, 160.0)


def test_a_loop_over_eight_minutes_a_slow_swap_or_a_failed_chat_falls_short() -> None:
    assert Report("loop", figures(_timeline(184.0), Seen())).holds
    assert not Report("loop", figures(_timeline(481.0), Seen())).holds
    assert not Report("loop", figures(_timeline(193.0), Seen())).holds
    assert not Report("loop", figures(_timeline(184.0), Seen(failures=["503"]))).holds


def test_a_loop_without_a_reply_of_the_new_version_falls_short() -> None:
    unfinished = Timeline({"acknowledged": 0.0, "claimed": 6.0})
    assert not Report("loop", figures(unfinished, Seen())).holds


def test_all_benches_are_found_and_no_helper() -> None:
    assert "loop" in names()
    assert not {"report", "free_ports", "__main__"} & set(names())
