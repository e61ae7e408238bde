"""Stages of one turn of the loop, read from outside."""

from typing import Any

import pytest

from deploy.timeline import STAGES, Timeline


def _progress(state: str, total: int | None = None) -> dict[str, Any]:
    return {"state": state, "total_steps": total}


def test_the_stages_follow_each_other_and_add_up_to_the_whole() -> None:
    timeline = Timeline()
    for at, name in enumerate(STAGES):
        timeline.mark(name, float(at * 10))
    assert [seconds for _, _, seconds in timeline.stages()] == [10.0] * 7
    assert timeline.total() == sum(seconds for _, _, seconds in timeline.stages()) == 70.0


def test_a_stage_that_was_too_short_to_be_seen_goes_to_the_one_before_it() -> None:
    timeline = Timeline()
    for at, name in ((0.0, "evaluating"), (5.0, "promoted"), (6.0, "answered")):
        timeline.mark(name, at)
    assert [(name, seconds) for name, _, seconds in timeline.stages()] == [("evaluating", 5.0), ("promoted", 1.0)]


def test_the_dataset_is_there_when_it_is_counted_and_training_begins_with_its_first_step() -> None:
    timeline = Timeline()
    timeline.read(_progress("training"), {"counts": {"claimed": 9}})
    assert timeline.marks == {}
    timeline.read(_progress("training"), {"counts": {"claimed": 9, "train": 6}})
    assert set(timeline.marks) == {"prepared"}
    timeline.read(_progress("training", 40), None)
    assert set(timeline.marks) == {"prepared", "training"}


def test_the_first_reading_counts() -> None:
    timeline = Timeline()
    timeline.read(_progress("training", 40), None)
    first = timeline.marks["training"]
    timeline.read(_progress("training", 40), None)
    assert timeline.marks["training"] == first


def test_what_the_loop_noted_itself_is_taken_over_for_this_version_alone() -> None:
    timeline = Timeline()
    events = [
        {"id": 9, "type": "promoted", "version": 1, "timestamp": "2026-01-01T00:00:10+00:00"},
        {"id": 5, "type": "run_started", "version": 1, "timestamp": "2026-01-01T00:00:01+00:00"},
        {"id": 4, "type": "run_started", "version": 2, "timestamp": "2026-01-01T00:00:07+00:00"},
        {"id": 6, "type": "swapped", "version": 1, "timestamp": "2026-01-01T00:00:11+00:00"},
    ]
    timeline.read_events(events, 1)
    assert timeline.marks == {"claimed": 1767225601.0, "promoted": 1767225610.0}
    assert timeline.total() is None


def test_an_unknown_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        Timeline().mark("lunch")
