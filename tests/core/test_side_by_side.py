import pytest

from core.gate import GateThresholds
from core.side_by_side import checks_between, side_by_side
from core.verdict import Shown
from tests.core.examples import UNMET, answered, evaluation, pairs

LIMITS = GateThresholds()
GENERAL = pairs([0.0] * 40, where="g")
ONE = evaluation(pairs([-0.6] * 40), GENERAL, version=4)
OTHER = evaluation(pairs([-0.1] * 40), GENERAL, version=3)


def test_each_version_is_held_against_the_other_not_against_what_served() -> None:
    joined = side_by_side(ONE, OTHER)
    assert (joined.version, joined.champion) == (4, 3)
    assert [pair.champion for pair in joined.held_out] == [pair.candidate for pair in OTHER.held_out]
    by_name = {check.name: check for check in checks_between(joined, LIMITS)}
    assert by_name["held_out_loss_vs_champion"].estimate == pytest.approx(-0.5)
    assert "v3" in by_name["held_out_loss_vs_champion"].sentence
    back = {check.name: check for check in checks_between(side_by_side(OTHER, ONE), LIMITS)}
    assert back["held_out_loss_vs_champion"].estimate == pytest.approx(0.5)
    assert not back["held_out_loss_vs_champion"].passed


def test_only_what_both_were_measured_on_counts() -> None:
    some = OTHER.model_copy(update={"held_out": OTHER.held_out[10:]})
    assert len(side_by_side(ONE, some).held_out) == 30
    longer = tuple(pair.model_copy(update={"tokens": 11}) for pair in OTHER.held_out[:5]) + OTHER.held_out[5:]
    assert len(side_by_side(ONE, OTHER.model_copy(update={"held_out": longer})).held_out) == 35


def test_what_cannot_be_measured_of_both_is_left_out() -> None:
    nothing = OTHER.model_copy(update={"held_out": (), "overlaps": (), "answers": ()})
    names = [check.name for check in checks_between(side_by_side(ONE, nothing), LIMITS)]
    assert names == ["general_non_inferiority"]
    assert "template_leakage" not in [check.name for check in checks_between(side_by_side(ONE, OTHER), LIMITS)]


def test_answers_and_words_are_those_of_both() -> None:
    worse = OTHER.model_copy(update={"answers": answered(candidate=UNMET)})
    joined = side_by_side(ONE, worse)
    assert not any(one.champion.met for one in joined.answers if one.champion)
    shown = Shown(probe="p", question="?", base="b", candidate="mine")
    said = side_by_side(
        ONE.model_copy(update={"shown": (shown,)}),
        OTHER.model_copy(update={"shown": (shown.model_copy(update={"candidate": "theirs"}),)}),
    ).shown
    assert [(one.candidate, one.champion) for one in said] == [("mine", "theirs")]


def test_versions_of_two_bases_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"Expected versions of one base, found v4 of b+ and v3 of c+"):
        side_by_side(ONE, OTHER.model_copy(update={"base_fingerprint": "c" * 64}))
