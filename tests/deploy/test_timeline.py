"""Stages of one turn of the loop, read from outside."""

from typing import Any

import pytest

from deploy.timeline import Timeline


def _progress(state: str, total: int | None = None) -> dict[str, Any]:
    return {"state": state, "total_steps": total}


def test_the_stages_follow_each_other_and_add_up_to_the_whole() -> None:
    timeline = Timeline()
    for at, name in enumerate(
        ("acknowledged", "claimed", "training", "evaluating", "registering", "promoted", "answered")
    ):
        timeline.mark(name, float(at * 10))
    assert [seconds for _, _, seconds in timeline.stages()] == [10.0] * 6
    assert timeline.total() == sum(seconds for _, _, seconds in timeline.stages()) == 60.0


def test_a_stage_that_was_too_short_to_be_seen_goes_to_the_one_before_it() -> None:
    timeline = Timeline()
    for at, name in ((0.0, "evaluating"), (5.0, "promoted"), (6.0, "answered")):
        timeline.mark(name, at)
    assert [(name, seconds) for name, _, seconds in timeline.stages()] == [("evaluating", 5.0), ("promoted", 1.0)]


def test_training_begins_with_its_first_known_number_of_steps_not_with_the_claim() -> None:
    timeline = Timeline()
    timeline.read(_progress("training"), {"state": "open", "started_at": "2026-01-01T00:00:00Z"})
    assert "training" not in timeline.marks
    timeline.read(_progress("training", 40), None)
    assert "training" in timeline.marks


def test_the_first_reading_of_a_state_counts() -> None:
    timeline = Timeline()
    timeline.read(_progress("evaluating"), None)
    first = timeline.marks["evaluating"]
    timeline.read(_progress("evaluating"), None)
    assert timeline.marks["evaluating"] == first


def test_a_rejected_version_ends_its_registration_too() -> None:
    timeline = Timeline()
    timeline.read(_progress("idle"), {"state": "rejected", "finished_at": "2026-01-01T00:00:10+00:00"})
    assert timeline.marks["promoted"] == 1767225610.0
    assert timeline.total() is None


def test_an_unknown_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        Timeline().mark("lunch")
