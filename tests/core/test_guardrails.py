"""An experiment stops when it harms, and only then."""

import numpy as np
import pytest

from core.arm_figures import ArmFigures, Sums
from core.guardrails import breach, harms
from tests.core.arm_examples import arm


@pytest.mark.parametrize(
    ("harm", "metric"),
    [({"errors": 0.1}, "errors"), ({"latency": 1.5}, "latency"), ({"rating": 2.5}, "rating")],
)
def test_harm_stops_it(harm: dict[str, float], metric: str) -> None:
    found = breach([arm("a"), arm("b", **harm)])
    assert found is not None
    assert (found.arm, found.metric) == ("b", metric)
    assert (found.at_least or 0) > 0
    assert "worse by at least" in found.sentence


@pytest.mark.parametrize("better", [{}, {"latency": 0.5}, {"rating": 4.5}])
def test_equal_or_better_goes_on(better: dict[str, float]) -> None:
    assert breach([arm("a"), arm("b", **better)]) is None


def test_a_worse_control_is_no_reason_to_stop() -> None:
    assert breach([arm("a", errors=0.1, rating=2.0), arm("b")]) is None


def test_few_users_are_not_judged() -> None:
    found = [harm for harm in harms([arm("a", users=40), arm("b", users=40, rating=1.0)]) if harm.metric == "rating"]
    assert found[0].at_least is None
    assert not found[0].breached


def test_a_fifth_of_fifty_replies_failing_needs_no_statistics() -> None:
    found = breach([arm("a", users=20), arm("b", users=20, errors=0.6)])
    assert found is not None
    assert "replies of arm b failed" in found.sentence


def test_an_outage_of_everything_is_not_the_challengers_fault() -> None:
    assert breach([arm("a", users=20, errors=0.6), arm("b", users=20, errors=0.6)]) is None


def test_every_challenger_is_watched() -> None:
    found = breach([arm("a"), arm("b"), arm("c", rating=2.0)])
    assert found is not None
    assert found.arm == "c"


def test_a_metric_nobody_has_is_left_out() -> None:
    quiet = [ArmFigures(name, 500, {"errors": Sums(np.zeros(500), np.ones(500))}) for name in "ab"]
    assert {harm.metric for harm in harms(quiet)} == {"errors"}


def test_replies_that_all_take_the_same_time_stop_nothing() -> None:
    replies = {"a": np.full(499, 3.0), "b": np.full(500, 7.0)}
    same = [ArmFigures(name, len(n), {"latency": Sums(n * 0.85, n)}) for name, n in replies.items()]
    assert breach(same) is None
    assert breach([same[1], ArmFigures("c", 499, same[0].metrics)]) is None
