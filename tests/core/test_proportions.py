import itertools

import numpy as np
import pytest
from scipy import stats

from core.proportions import Discordance, exact_upper, paired_newcombe, pass_chance, sign_test


def test_the_interval_is_that_of_newcombes_example() -> None:
    # Newcombe 1998, 36 pairs both, 12 and 2 one alone, 0 neither: method 10 gives 0.0569 to 0.3404 at 95 %
    found = paired_newcombe(Discordance(36, 12, 2, 50), alpha=0.025)
    assert found.estimate == pytest.approx(0.2)
    assert (found.lower, found.upper) == (pytest.approx(0.0569, abs=1e-4), pytest.approx(0.3404, abs=1e-4))


def test_no_answer_that_differs_is_still_uncertain_and_more_items_are_less_so() -> None:
    few, many = (paired_newcombe(Discordance(n // 2, 0, 0, n)) for n in (20, 200))
    assert few.lower < many.lower < 0.0 < many.upper < few.upper


def test_nothing_answered_is_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        paired_newcombe(Discordance(0, 0, 0, 0))


@pytest.mark.parametrize(("n", "share"), [(24, 0.2), (48, 0.1), (150, 0.3)])
def test_the_bounds_hold_about_as_often_as_they_say(n: int, share: float) -> None:
    # half of the differing answers each way: no true change; a non-inferiority margin is passed wrongly only above it
    generator = np.random.default_rng(n)
    draws = generator.multinomial(n, [0.5 - share / 2, share / 2, share / 2, 0.5 - share / 2], size=2_000)
    missed = np.mean([paired_newcombe(Discordance(*map(int, cells[:3]), n)).lower > 0.0 for cells in draws])
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)


def test_the_upper_bound_of_nothing_seen_is_the_rule_of_three() -> None:
    assert exact_upper(0, 300) == pytest.approx(3 / 300, rel=0.01)
    assert exact_upper(3, 20) == pytest.approx(stats.beta.ppf(0.95, 4, 17))
    assert exact_upper(5, 5) == 1.0


def test_the_sign_test_is_the_binomial() -> None:
    assert sign_test(1, 9) == pytest.approx(stats.binomtest(1, 10, 0.5, alternative="less").pvalue)
    assert sign_test(0, 0) == 1.0


def test_the_chance_to_pass_is_what_drawing_shows() -> None:
    seen, margin = Discordance(15, 4, 4, 40), 0.15
    generator = np.random.default_rng(1)
    draws = generator.multinomial(40, [0.4, 0.1, 0.1, 0.4], size=4_000)
    drawn = np.mean([paired_newcombe(Discordance(*map(int, cells[:3]), 40)).lower > -margin for cells in draws])
    assert pass_chance(seen, margin) == pytest.approx(drawn, abs=0.03)


def test_a_true_loss_of_twice_the_margin_hardly_ever_passes() -> None:
    for n, differing in itertools.product((24, 48, 150), (2, 6)):
        assert pass_chance(Discordance(n // 2, differing, differing, n), 0.2, effect=0.4) < 0.05
