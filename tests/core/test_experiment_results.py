"""The one decision that follows from the figures."""

from datetime import timedelta

import numpy as np
import pytest

from core.arm_figures import ArmFigures, Sums
from core.comparisons import compare
from core.experiment_decision import split_of
from core.experiment_results import Results, due_look, needs_more, results
from core.experiments import Arm, Look, Window
from tests.core.arm_examples import NOW, WINDOW, arm, design


def looked(*arms: ArmFigures, **changes: object) -> Results:
    """Results after one look at these figures."""
    plan = design(**changes)
    look = due_look(plan, arms, [], NOW)
    return results(plan, arms, [look] if look else [], WINDOW)


def test_better_and_no_guardrail_worse_is_shipped() -> None:
    found = looked(arm("a"), arm("b", rating=4.0))
    assert (found.outcome, found.winner, found.is_significant) == ("ship", "b", True)
    assert found.p_value is not None
    assert found.p_value < 0.05
    assert found.recommendation.endswith("ship b")


def test_better_with_a_guardrail_that_is_worse_is_not_shipped() -> None:
    found = looked(arm("a"), arm("b", rating=4.0, latency=1.3))
    assert (found.outcome, found.winner) == ("hold", None)
    assert "seconds a reply are worse" in found.recommendation


def test_better_with_a_guardrail_that_is_not_shown_to_hold_is_not_shipped() -> None:
    plain = arm("b", users=100, rating=4.5)
    errors = Sums(np.array([1.0] * 2 + [0.0] * 98), np.full(100, 3.0))
    rare = ArmFigures("b", 100, {**plain.metrics, "errors": errors})
    found = looked(arm("a", users=100), rare, target_samples=100)
    assert found.outcome == "hold"
    assert "replies that failed are not shown to hold" in found.recommendation


def test_worse_keeps_the_control() -> None:
    found = looked(arm("a"), arm("b", rating=3.0))
    assert (found.outcome, found.winner, found.is_significant) == ("keep_control", "a", True)


def test_no_difference_at_the_end_keeps_the_control_without_a_winner() -> None:
    found = looked(arm("a"), arm("b"))
    assert (found.outcome, found.winner, found.is_significant) == ("no_difference", None, False)


def test_under_thirty_rated_users_there_is_neither_winner_nor_p_value() -> None:
    found = looked(arm("a", users=29, exposed=200), arm("b", users=200, rating=5.0), target_samples=30)
    assert (found.outcome, found.winner, found.p_value, found.is_significant) == ("too_few", None, None, False)
    assert "Fewer than 30 users" in found.recommendation
    assert not found.comparisons


def test_a_broken_split_blocks_everything_and_shows_no_difference() -> None:
    found = looked(arm("a", exposed=600), arm("b", rating=4.5, exposed=450))
    assert found.outcome == "blocked"
    assert not found.split.ok
    assert (found.winner, found.p_value, found.comparisons) == (None, None, ())


def test_the_first_user_of_a_small_arm_breaks_no_split() -> None:
    arms = (Arm(name="a", model="v1", weight=0.99), Arm(name="b", model="v2", weight=0.01))
    few = split_of(design(arms=arms), [arm("a", exposed=4), arm("b", exposed=1)])
    assert few.ok
    assert not split_of(design(arms=arms), [arm("a", exposed=480), arm("b", exposed=25)]).ok


def test_before_the_first_look_there_is_no_p_value() -> None:
    found = looked(arm("a", users=60), arm("b", users=60, rating=5.0))
    assert (found.outcome, found.p_value, found.winner) == ("going_on", None, None)
    assert "before 100 rated users" in found.recommendation


def test_an_early_look_demands_more_than_a_late_one() -> None:
    few, plan = [arm("a", users=100), arm("b", users=100, rating=4.2)], design()
    look = due_look(plan, few, [], NOW)
    assert look is not None
    assert 2.5 < look.statistics["b"] < 4.8
    assert not results(plan, few, [look], WINDOW).is_significant
    assert results(design(target_samples=100), few, [look.model_copy(update={"fraction": 1.0})], WINDOW).is_significant


def test_each_planned_share_is_looked_at_once() -> None:
    plan, taken = design(), list[Look]()
    for users in (90, 101, 150, 199, 230, 480, 520, 600):
        look = due_look(plan, [arm("a", users=users), arm("b", users=users)], taken, NOW)
        taken += [look] if look else []
    assert [look.fraction for look in taken] == [101 / 500, 230 / 500, 480 / 500, 1.0]


def test_metrics_where_less_is_better_count_the_other_way() -> None:
    found = looked(arm("a"), arm("b", latency=0.7), success_metric="latency")
    assert (found.outcome, found.winner) == ("ship", "b")


def test_of_two_challengers_the_better_one_wins_after_holms_correction() -> None:
    models = {"a": "v1", "b": "v2", "c": "base"}
    three = tuple(Arm(name=name, model=model, weight=1 / 3) for name, model in models.items())
    found = looked(arm("a"), arm("b"), arm("c", rating=4.0), arms=three)
    assert (found.outcome, found.winner) == ("ship", "c")
    alone = looked(arm("a"), arm("c", rating=4.0), arms=(*design().arms[:1], Arm(name="c", model="base", weight=0.5)))
    assert found.p_value == pytest.approx(2 * (alone.p_value or 0), rel=1e-6)


def test_needs_more_names_users_and_days() -> None:
    found = needs_more(design(), [arm("a", users=100), arm("b", users=100)], WINDOW)
    # 1.0 of spread, 0.2 to find: 394 an arm
    assert 250 < (found.users or 0) < 350
    assert found.days == pytest.approx((found.users or 0) / (100 / 14))
    assert f"Needs {found.users} more rated users an arm, about" in found.sentence


def test_a_short_experiment_is_told_to_see_a_whole_week() -> None:
    plan, arms = design(), [arm("a"), arm("b", rating=4.0)]
    look = due_look(plan, arms, [], NOW)
    found = results(plan, arms, [look] if look else [], Window(NOW - timedelta(days=2), NOW))
    assert "2.0 days" in found.recommendation


def test_a_user_counts_once_however_much_they_say() -> None:
    loud = Sums(np.array([100.0, 1.0, 1.0]), np.array([20.0, 1.0, 1.0]))
    calm = Sums(np.array([3.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0]))
    found = compare(ArmFigures("a", 3, {"rating": calm}), ArmFigures("b", 3, {"rating": loud}), "rating")
    assert found is not None
    assert found.challenger == pytest.approx(7 / 3)
    assert found.per_reply is not None
    assert found.per_reply.estimate == pytest.approx(102 / 22 - 3)


def test_shares_count_users_to_whom_it_happened() -> None:
    thumbs = {"a": Sums(np.array([1.0, 2.0, 0.0]), np.array([1.0, 3.0, 1.0])), "b": Sums(np.ones(4), np.ones(4))}
    one, other = (ArmFigures(name, 4, {"thumbs_up": sums}) for name, sums in thumbs.items())
    found = compare(one, other, "thumbs_up")
    assert found is not None
    assert found.any_of is not None
    assert (found.any_of.control, found.any_of.challenger) == (pytest.approx(2 / 3), 0.0)


def test_the_past_narrows_the_interval() -> None:
    random = np.random.default_rng(3)
    past = random.normal(3, 1, 400)
    sides = [Sums(past[:200], np.ones(200), past[:200]), Sums(past[200:] + 0.2, np.ones(200), past[200:])]
    found = compare(
        *(ArmFigures(name, 200, {"rating": side}) for name, side in zip("ab", sides, strict=True)), "rating"
    )
    assert found is not None
    assert found.adjusted_for_past is not None
    assert found.adjusted_for_past.estimate == pytest.approx(0.2, abs=1e-9)


def test_results_are_plain_json() -> None:
    found = looked(arm("a"), arm("b", rating=4.0))
    again = Results.model_validate_json(found.model_dump_json())
    assert again == found
    assert "Infinity" not in found.model_dump_json()
    assert "NaN" not in found.model_dump_json()


def test_that_nobody_saw_a_failure_yet_proves_little_about_how_rare_it_is() -> None:
    few, many = (
        compare(
            *(ArmFigures(name, users, {"errors": Sums(np.zeros(users), np.ones(users))}) for name in "ab"), "errors"
        )
        for users in (32, 1000)
    )
    assert few is not None
    assert many is not None
    assert (few.guard, many.guard) == ("unproven", "holds")
