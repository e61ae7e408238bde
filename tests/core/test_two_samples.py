"""Every statistic equals that of statsmodels or scipy on the same data.

statsmodels takes a second to import, and so is imported only where it is compared with.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from core.arm_figures import Sums
from core.comparisons import LARGEST_Z, better_z
from core.sample_size import power_of_means, users_for_means, users_for_shares
from core.two_means import hedges_g, mann_whitney, mean_of, welch
from core.two_shares import Share, fisher, newcombe, odds_ratio, pooled_z, shares_p_value, split_p_value, wilson
from core.user_ratios import cuped, delta_ratio, ratio_difference

Floats = NDArray[np.float64]
NEAR = 1e-6


@pytest.fixture(params=range(4), ids=lambda seed: f"seed {seed}")
def arms(request: pytest.FixtureRequest) -> tuple[Floats, Floats]:
    """Ratings with ties, of arms of different size and spread."""
    random = np.random.default_rng(request.param)
    control = np.clip(np.rint(random.normal(3.0, 1.2, 40 + 13 * request.param)), 1, 5)
    return control, np.clip(np.rint(random.normal(3.5, 0.7, 55)), 1, 5)


def test_welch_equals_statsmodels(arms: tuple[Floats, Floats]) -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    control, challenger = arms
    found = welch(control, challenger)
    theirs = CompareMeans(DescrStatsW(challenger), DescrStatsW(control))
    assert (found.lower, found.upper) == pytest.approx(theirs.tconfint_diff(usevar="unequal"), rel=NEAR)
    assert found.p_value == pytest.approx(stats.ttest_ind(challenger, control, equal_var=False).pvalue, rel=NEAR)


def test_a_mean_has_the_t_interval(arms: tuple[Floats, Floats]) -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    found = mean_of(arms[0])
    assert (found.lower, found.upper) == pytest.approx(DescrStatsW(arms[0]).tconfint_mean(), rel=NEAR)


def test_hedges_g_equals_statsmodels(arms: tuple[Floats, Floats]) -> None:
    from statsmodels.stats.meta_analysis import effectsize_smd

    control, challenger = arms
    moments = [value for arm in (challenger, control) for value in (arm.mean(), arm.std(ddof=1), len(arm))]
    g, variance = effectsize_smd(*moments)
    found = hedges_g(control, challenger)
    assert found.estimate == pytest.approx(g, rel=NEAR)
    assert found.error == pytest.approx(np.sqrt(variance), rel=NEAR)


def test_mann_whitney_equals_scipy_with_ties(arms: tuple[Floats, Floats]) -> None:
    control, challenger = arms
    theirs = stats.mannwhitneyu(challenger, control, method="asymptotic")
    found = mann_whitney(control, challenger)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=NEAR)
    assert found.superiority == pytest.approx(theirs.statistic / (len(control) * len(challenger)), rel=NEAR)


def test_what_never_varies_has_no_p_value_but_one() -> None:
    same = np.ones(40)
    assert welch(same, same).p_value == 1.0
    assert mann_whitney(same, same).p_value == 1.0
    assert np.isnan(hedges_g(same, same).estimate)


def test_one_user_is_no_arm() -> None:
    with pytest.raises(ValueError, match="two users or more"):
        welch(np.ones(1), np.ones(5))


@pytest.mark.parametrize(("hits1", "n1", "hits2", "n2"), [(30, 100, 45, 110), (1, 40, 6, 38), (0, 25, 3, 30)])
def test_two_shares_equal_statsmodels_and_scipy(hits1: int, n1: int, hits2: int, n2: int) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

    control, challenger = Share(hits1, n1), Share(hits2, n2)
    found = newcombe(control, challenger)
    theirs = confint_proportions_2indep(hits2, n2, hits1, n1, method="newcomb", compare="diff")
    assert (found.lower, found.upper) == pytest.approx(theirs, abs=NEAR)
    assert wilson(challenger) == pytest.approx(proportion_confint(hits2, n2, method="wilson"), abs=NEAR)
    assert pooled_z(control, challenger) == pytest.approx(proportions_ztest([hits1, hits2], [n1, n2])[1], rel=NEAR)
    table = np.array([[hits2, n2 - hits2], [hits1, n1 - hits1]])
    assert fisher(control, challenger) == pytest.approx(stats.fisher_exact(table).pvalue, rel=NEAR)


def test_few_expected_hits_are_tested_exactly() -> None:
    few, many = (Share(1, 40), Share(6, 38)), (Share(30, 100), Share(45, 110))
    assert shares_p_value(*few) == fisher(*few)
    assert shares_p_value(*many) == pooled_z(*many)


def test_the_odds_ratio_equals_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import Table2x2

    found = odds_ratio(Share(30, 100), Share(45, 110))
    theirs = Table2x2(np.array([[45, 65], [30, 70]]))
    assert found.estimate == pytest.approx(theirs.oddsratio, rel=NEAR)
    assert (found.lower, found.upper) == pytest.approx(theirs.oddsratio_confint(), rel=NEAR)
    assert found.p_value == pytest.approx(theirs.oddsratio_pvalue(), rel=NEAR)


def test_an_empty_cell_has_an_odds_ratio_too() -> None:
    assert np.isfinite(odds_ratio(Share(0, 25), Share(3, 30))).all()


def test_the_split_equals_chi_square() -> None:
    expected = [500.0, 300.0, 200.0]
    theirs = stats.chisquare([520, 310, 170], expected).pvalue
    assert split_p_value([520, 310, 170], [0.5, 0.3, 0.2]) == pytest.approx(theirs, rel=NEAR)


def test_a_published_mismatch_is_found() -> None:
    # Kohavi, Tang, Xu, "Trustworthy Online Controlled Experiments" (2020), ch. 3: 821,588 against 815,482, p = 1.8e-6
    assert split_p_value([821_588, 815_482], [0.5, 0.5]) == pytest.approx(1.8e-6, rel=0.02)


@pytest.fixture
def replies() -> tuple[Floats, Floats]:
    """Sums and counts a user, the number of replies going along with the rate."""
    random = np.random.default_rng(5)
    counts = random.integers(1, 20, 200).astype(np.float64)
    return random.binomial(counts.astype(int), np.clip(0.3 + counts / 50, 0, 1)).astype(np.float64), counts


def test_the_delta_method_equals_clustered_least_squares(replies: tuple[Floats, Floats]) -> None:
    from statsmodels.api import OLS

    sums, counts = replies
    users = np.repeat(np.arange(len(counts)), counts.astype(int))
    values = np.concatenate([np.repeat([1.0, 0.0], [int(s), int(c - s)]) for s, c in zip(sums, counts, strict=True)])
    fitted = OLS(values, np.ones_like(values)).fit(
        cov_type="cluster", cov_kwds={"groups": users, "use_correction": False}
    )
    ratio, error = delta_ratio(sums, counts)
    assert ratio == pytest.approx(fitted.params[0], rel=NEAR)
    assert error == pytest.approx(fitted.bse[0] * np.sqrt(len(counts) / (len(counts) - 1)), rel=NEAR)


def test_a_difference_of_ratios_adds_both_errors(replies: tuple[Floats, Floats]) -> None:
    found = ratio_difference(replies, replies)
    assert found.estimate == 0.0
    assert found.error == pytest.approx(delta_ratio(*replies)[1] * np.sqrt(2), rel=NEAR)


def test_cuped_equals_the_analysis_of_covariance_and_narrows_the_interval() -> None:
    from statsmodels.api import OLS, add_constant

    random = np.random.default_rng(6)
    past = random.normal(3, 1, 300)
    values = 0.8 * past + random.normal(0, 0.4, 300)
    control, challenger = (values[:140], past[:140]), (values[140:] + 0.1, past[140:])
    adjusted = welch(*cuped(control, challenger))
    arm = np.repeat([0.0, 1.0], [140, 160])
    fitted = OLS(np.concatenate([control[0], challenger[0]]), add_constant(np.column_stack([arm, past]))).fit()
    assert adjusted.estimate == pytest.approx(fitted.params[1], rel=NEAR)
    assert adjusted.error < 0.6 * welch(control[0], challenger[0]).error


@pytest.mark.parametrize(("effect", "n1", "n2"), [(0.5, 64, 64), (0.2, 100, 300), (0.1, 1500, 1500), (0.05, 9e3, 9e3)])
def test_power_equals_statsmodels(effect: float, n1: float, n2: float) -> None:
    from statsmodels.stats.power import TTestIndPower

    theirs = TTestIndPower().power(effect, n1, 0.05, ratio=n2 / n1)
    assert power_of_means(effect, n1, n2) == pytest.approx(theirs, abs=1e-6 if n1 + n2 < 10_000 else 2e-5)


@pytest.mark.parametrize("n", [2, 3, 5, 7, 12, 20, 60, 150, 400, 1500, 4900])
def test_power_is_a_chance_also_where_nearly_every_comparison_would_see_it(n: int) -> None:
    from statsmodels.stats.power import TTestIndPower

    effects = np.concatenate([np.linspace(0.05, 12.0, 60), [40.0, 1e3, 1e9, np.inf]])
    found = np.array([power_of_means(float(effect), n, n) for effect in effects])
    theirs = np.array([TTestIndPower().power(effect, n, 0.05) if effect < 1e3 else 1.0 for effect in effects])
    assert np.all((found >= 0.0) & (found <= 1.0))
    assert np.isfinite(theirs).sum() > len(effects) / 3
    assert found[np.isfinite(theirs)] == pytest.approx(theirs[np.isfinite(theirs)], abs=1e-6)
    assert found[-4:] == pytest.approx(np.ones(4), abs=1e-6)


def test_numbers_of_users_are_the_known_ones() -> None:
    assert users_for_means(0.5, 1.0) == 64  # Cohen (1988), table 2.4.1
    assert [users_for_means(d, 1.2) for d in (0.2, 0.1)] == [567, 2262]
    shares = [(0.6, 0.65), (0.6, 0.7), (0.7, 0.73), (0.1, 0.12)]
    assert [users_for_shares(p1, p2) for p1, p2 in shares] == [1471, 356, 3554, 3841]


def test_nothing_to_find_needs_no_number_of_users() -> None:
    assert users_for_means(0.0, 1.0) is None
    assert users_for_shares(0.5, 0.5) is None


@pytest.mark.parametrize("value", [1.2, 10 / 3, 0.85])
def test_equal_values_do_not_differ_by_what_adding_floats_leaves(value: float) -> None:
    found = [welch(np.full(n, value), np.full(m, value)) for n in (33, 499) for m in (50, 500, 777)]
    assert {(one.estimate, one.p_value, one.error) for one in found} == {(0.0, 1.0, 0.0)}


def test_values_that_do_not_spread_differ_all_the_same() -> None:
    assert welch(np.full(40, 3.0), np.full(40, 5.0)).p_value == 0.0
    three, five = (Sums(np.full(40, value), np.ones(40)) for value in (3.0, 5.0))
    assert better_z(three, five, +1) == LARGEST_Z
    assert better_z(three, five, -1) == -LARGEST_Z
    assert better_z(three, three, +1) == 0.0
