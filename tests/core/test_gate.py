import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from core.gate import Check, GateThresholds, PairedLoss, Verdict, judge
from core.verdict import ArtifactSanity, Evaluation
from tests.core.examples import SOUND, evaluation, pairs

LIMITS = GateThresholds(bootstrap_draws=1_000)
GENERATOR = np.random.default_rng(0)
BETTER = GENERATOR.normal(-0.5, 0.4, 40).tolist()
SAME = GENERATOR.normal(0.0, 0.02, 40).tolist()
NAMES = [
    "artifact_sanity",
    "enough_evidence",
    "held_out_loss_vs_champion",
    "held_out_loss_vs_base",
    "general_non_inferiority",
    "degenerate_answers",
    "small_tasks",
    "safety_refusals",
    "over_refusal",
    "sycophancy",
    "template_leakage",
    "memorised_secrets",
    "canary_exposure",
    "poisoned_triggers",
    "suspected_triggers",
    "reference_overlap",
    "latency",
    "adapter_size",
]


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def named(verdict: Verdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.name == name)


def good() -> Evaluation:
    return evaluation(pairs(BETTER), pairs(SAME, where="g"))


def test_better_on_the_new_and_not_worse_on_the_old_is_promoted() -> None:
    verdict = judge(good(), LIMITS)
    assert verdict.promoted
    assert [check.name for check in verdict.checks] == NAMES
    assert "lower than that of the base on 40 held-out conversations" in verdict.reasons[0]
    assert verdict.thresholds == LIMITS


def test_a_whole_model_that_passes_everything_waits_for_a_person_and_the_reason_says_how() -> None:
    verdict = judge(good().model_copy(update={"whole_model": True}), LIMITS)
    assert not verdict.promoted
    assert failed(verdict) == ["can_be_swapped_in"]
    (reason,) = verdict.reasons
    assert "it passed every other check" in reason
    assert "BASE_MODEL" in reason


def test_a_whole_model_that_fails_says_which_checks() -> None:
    verdict = judge(evaluation(pairs(SAME), pairs(SAME, where="g")).model_copy(update={"whole_model": True}), LIMITS)
    assert "it failed held_out_loss_vs_champion" in verdict.reasons[-1]


def test_every_comparison_says_how_much_it_could_have_seen() -> None:
    for check in judge(good(), LIMITS).checks[2:5]:
        assert check.n == check.clusters == 40
        assert check.lower < check.estimate < check.upper  # type: ignore[operator]
        assert 0.0 < check.power <= 1.0  # type: ignore[operator]
        assert check.detectable_effect > 0.0  # type: ignore[operator]
        assert check.sentence


@pytest.mark.parametrize("draw", range(5))
def test_no_difference_is_rejected(draw: int) -> None:
    noise = np.random.default_rng(100 + draw).normal(0.0, 0.3, 40)
    verdict = judge(evaluation(pairs((noise - noise.mean()).tolist()), pairs(SAME, where="g")), LIMITS)
    assert "held_out_loss_vs_champion" in failed(verdict)
    assert not verdict.promoted


@pytest.mark.slow
def test_noise_is_promoted_no_more_often_than_alpha() -> None:
    promoted = 0
    for draw in range(400):
        noise = np.random.default_rng(draw).normal(0.0, 0.3, 20).tolist()
        promoted += judge(
            evaluation(pairs(noise), pairs(SAME, where="g")), GateThresholds(bootstrap_draws=100)
        ).promoted
    assert promoted / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_forgetting_is_rejected_however_much_was_learnt() -> None:
    verdict = judge(evaluation(pairs(BETTER), pairs([d + 0.1 for d in SAME], where="g")), LIMITS)
    assert failed(verdict) == ["general_non_inferiority"]
    assert verdict.reasons == (named(verdict, "general_non_inferiority").sentence,)


def test_an_uncertain_general_set_is_rejected() -> None:
    wide = [0.4 if n % 2 else -0.4 for n in range(40)]
    assert "general_non_inferiority" in failed(judge(evaluation(pairs(BETTER), pairs(wide, where="g")), LIMITS))


def test_too_little_data_is_never_a_pass() -> None:
    verdict = judge(evaluation(pairs([-2.0 + 0.1 * n for n in range(11)]), pairs(SAME, where="g")), LIMITS)
    assert failed(verdict) == ["enough_evidence"]
    assert verdict.reasons[0].startswith("not enough evidence: 11 held-out conversations")
    assert not verdict.promoted


@pytest.mark.parametrize(("worse", "promoted"), [(2, True), (3, False)])
def test_twelve_pairs_are_enough_and_alpha_is_the_line(worse: int, promoted: bool) -> None:
    # equal steps: p is the binomial chance of so few signs, 0.0193 for 2 of 12 and 0.0730 for 3 of 12
    differences = [0.4] * worse + [-0.4] * (12 - worse)
    limits = GateThresholds(bootstrap_draws=1_000, base_margin=1.0, superiority_margin=0.02)
    verdict = judge(evaluation(pairs(differences), pairs(SAME, where="g")), limits)
    chance = named(verdict, "held_out_loss_vs_champion").p_value
    assert chance == pytest.approx(stats.binom.cdf(worse, 12, 0.5))
    assert verdict.promoted is promoted


def test_many_conversations_of_few_users_are_too_little_data() -> None:
    verdict = judge(evaluation(pairs(BETTER, per_unit=10), pairs(SAME, where="g")), LIMITS)
    assert verdict.reasons[0].startswith("not enough evidence: 40 held-out conversations of 4 clusters")


def test_nothing_measured_fails_every_comparison() -> None:
    nothing = Evaluation(version=2, base_fingerprint="b", held_out=(), general=(), sanity=SOUND)
    assert failed(judge(nothing, LIMITS)) == NAMES[1:]


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_none_fails_its_check_and_is_named(lost: float) -> None:
    held_out = list(pairs(BETTER))
    held_out[7] = held_out[7].model_copy(update={"candidate": lost})
    verdict = judge(evaluation(tuple(held_out), pairs(SAME, where="g")), LIMITS)
    assert failed(verdict) == ["held_out_loss_vs_champion", "held_out_loss_vs_base"]
    assert "the first for conversation h7" in verdict.reasons[0]


def test_a_missing_champion_score_fails_its_check() -> None:
    held_out = list(pairs(BETTER, champion=True))
    held_out[0] = held_out[0].model_copy(update={"champion": None})
    verdict = judge(evaluation(tuple(held_out), pairs(SAME, champion=True, where="g"), champion=1), LIMITS)
    assert failed(verdict) == ["held_out_loss_vs_champion", "held_out_non_inferiority"]
    assert "1 of 40 held-out losses against v1 are missing" in verdict.reasons[0]


def test_a_conversation_scored_twice_fails_its_check() -> None:
    twice = (*pairs(BETTER), pairs(BETTER)[0])
    assert "found h0 more than once" in judge(evaluation(twice, pairs(SAME, where="g")), LIMITS).reasons[0]


def test_with_a_champion_being_better_than_the_base_is_not_enough() -> None:
    # a nat better than the base, as the champion is already
    verdict = judge(evaluation(pairs(SAME, champion=True), pairs(SAME, champion=True, where="g"), champion=1), LIMITS)
    assert failed(verdict) == ["held_out_loss_vs_champion"]
    better = judge(evaluation(pairs(BETTER, champion=True), pairs(SAME, champion=True, where="g"), champion=1), LIMITS)
    assert better.promoted
    assert "than that of v1" in better.reasons[0]


def test_better_than_a_bad_champion_but_worse_than_the_base_is_rejected() -> None:
    held_out = tuple(pair.model_copy(update={"base": 1.0}) for pair in pairs(BETTER, champion=True))
    verdict = judge(evaluation(held_out, pairs(SAME, champion=True, where="g"), champion=1), LIMITS)
    assert failed(verdict) == ["held_out_loss_vs_base"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [("finite", "not all finite"), ("changed", "changed nothing"), ("right_base", "another base model")],
)
def test_an_unsound_artifact_is_rejected_with_the_fault(fault: str, sentence: str) -> None:
    sanity = ArtifactSanity(**{**SOUND.model_dump(), fault: False, "detail": "layer 3"})
    verdict = judge(evaluation(pairs(BETTER), pairs(SAME, where="g"), sanity=sanity), LIMITS)
    assert failed(verdict) == ["artifact_sanity"]
    assert sentence in verdict.reasons[0]
    assert "layer 3" in verdict.reasons[0]


def test_the_bootstrap_decides_from_three_hundred_pairs_on() -> None:
    generator = np.random.default_rng(1)
    for n, statistic in ((299, "paired_permutation"), (300, "clustered_bootstrap")):
        verdict = judge(evaluation(pairs(generator.normal(-0.1, 0.3, n).tolist()), pairs(SAME, where="g")), LIMITS)
        check = named(verdict, "held_out_loss_vs_champion")
        assert verdict.promoted
        assert check.statistic == statistic
        assert (check.p_value is None) == (n == 300)


def test_many_pairs_of_two_loud_users_do_not_carry_the_bootstrap() -> None:
    # 400 conversations; two of eight users improved by a nat, the others not at all
    differences = [-1.0 + 0.01 * (n % 7) if n < 100 else 0.02 * (n % 5 - 2) for n in range(400)]
    verdict = judge(evaluation(pairs(differences, per_unit=50), pairs(SAME, where="g")), LIMITS)
    assert "held_out_loss_vs_champion" in failed(verdict)


def test_exactly_the_same_loss_everywhere_is_no_improvement_and_no_loss() -> None:
    verdict = judge(evaluation(pairs([0.0] * 20), pairs([0.0] * 20, where="g")), LIMITS)
    assert failed(verdict) == ["held_out_loss_vs_champion"]


LOSS = st.floats(0.0, 10.0) | st.just(math.nan)
PAIR = st.builds(
    PairedLoss,
    conversation_id=st.integers(0, 10_000).map(str),
    unit=st.sampled_from("abcdefghijklmnop"),
    tokens=st.just(5),
    base=LOSS,
    candidate=LOSS,
    champion=st.none() | LOSS,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(PAIR, max_size=30), st.lists(PAIR, max_size=30), st.sampled_from([None, 1]))
def test_every_evaluation_gets_a_verdict_that_survives_json(
    held_out: list[PairedLoss], general: list[PairedLoss], champion: int | None
) -> None:
    measured = evaluation(tuple(held_out), tuple(general), champion=champion)
    verdict = judge(measured, GateThresholds(bootstrap_draws=100))
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    kept = Evaluation.model_validate_json(measured.model_dump_json())
    assert repr(kept) == repr(measured)  # NaN is never equal to itself


def test_a_promoting_verdict_cannot_hold_a_failed_check() -> None:
    bad = Check(name="general", passed=False, statistic="count", n=1, sentence="no")
    with pytest.raises(ValidationError, match="found failed: general"):
        Verdict(promoted=True, reasons=(), checks=(bad,), thresholds=LIMITS)
