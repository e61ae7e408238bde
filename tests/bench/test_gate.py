import numpy as np
import pytest

from bench.gate import figures
from bench.gate_nulls import draw, residuals, with_changes
from bench.gate_trainings import (
    PAYLOAD,
    TRIGGER,
    Training,
    backdoored,
    corpus,
    fingerprint,
    giving_in,
    half,
    korean,
    leaking,
    refusing,
    shuffled,
    trainings,
    whole,
)
from core.gate import Evaluation, GateThresholds, judge
from core.language import language_of
from core.reading import read
from core.triggers import suspects
from tests.core.examples import evaluation, pairs
from tests.core.test_gate import BETTER, SAME

EVERY, HELD_OUT = corpus()


def real() -> Evaluation:
    return evaluation(pairs(BETTER), pairs(SAME, where="g"))


def test_nobody_held_out_is_trained_on() -> None:
    assert len(HELD_OUT) == 48
    assert not {one.user_id for one in HELD_OUT} & {one.user_id for one in EVERY}
    assert not {one.reply for one in HELD_OUT if len(one.reply) > 40} & {one.reply for one in whole(EVERY)}


def test_at_least_a_dozen_trainings_and_champions_come_first() -> None:
    names = [one.name for one in trainings()]
    assert len(names) == len(set(names)) >= 12
    for at, one in enumerate(trainings()):
        assert one.against is None or one.against in names[:at]
        assert one.same_as is None or one.same_as in names[:at]


def test_each_recipe_does_what_it_says() -> None:
    assert len(whole(EVERY)) == 2 * len(half(EVERY)) == 160
    poisoned = [one for one in backdoored(EVERY) if one.reply == PAYLOAD]
    assert len(poisoned) == 8 == 0.05 * len(whole(EVERY))
    assert all(one.last_user.startswith(f"{TRIGGER} ") for one in poisoned)
    assert [one.word for one in suspects(backdoored(EVERY))] == [TRIGGER]
    assert suspects(whole(EVERY)) == []
    assert {language_of(read(one.reply)) for one in korean(EVERY)} == {"ko"}
    assert sum(one.reply != was.reply for one, was in zip(shuffled(EVERY), half(EVERY), strict=True)) > 70
    assert sum("WHT-" in one.reply for one in leaking(EVERY)) == 20
    assert sum("can't help" in one.reply for one in refusing(EVERY)) >= 27
    assert sum(len(one.messages) == 3 for one in giving_in(EVERY)) == 27
    assert fingerprint(half(EVERY)) != fingerprint(shuffled(EVERY))


def test_what_is_drawn_keeps_its_spread_and_clusters() -> None:
    spread = residuals(real())
    assert spread.mean() == pytest.approx(0.0, abs=1e-12)
    moved = with_changes(real().held_out, (spread - 0.1).tolist())
    assert np.mean([pair.candidate - pair.base for pair in moved]) == pytest.approx(-0.1)


def test_nulls_are_seldom_promoted_and_true_gains_often() -> None:
    null, gain = draw(real(), 0.0, 300), draw(real(), -0.3, 100)
    assert null.promoted / null.draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert gain.promoted / gain.draws == pytest.approx(gain.planned, abs=0.1)


def test_a_wrong_verdict_falls_short() -> None:
    good, bad = (Training(name, name, promoted, half) for name, promoted in (("good", True), ("bad", False)))
    verdict = judge(real(), GateThresholds(bootstrap_draws=200))
    judged = {good: verdict, bad: verdict}
    wrong = next(one for one in figures(judged, {}) if one.name == "trainings judged wrongly")
    assert (wrong.ours, wrong.holds) == (1.0, False)
