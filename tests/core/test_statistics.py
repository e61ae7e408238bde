import itertools
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.statistics import cluster_totals, clustered_bootstrap, paired_permutation, power, standard_error

GRID = st.integers(-30_000, 30_000).map(lambda steps: steps / 10_000)


def alone(differences: object) -> range:
    return range(len(differences))  # type: ignore[arg-type]


def by_enumeration(sums: list[float]) -> float:
    """All 2^k sign patterns, in whole steps so that ties are ties."""
    steps = [round(10_000 * value) for value in sums]
    patterns = [sum(sign * abs(s) for sign, s in zip(signs, steps, strict=True)) for signs in every_sign(len(steps))]
    return sum(total <= sum(steps) for total in patterns) / len(patterns)


def every_sign(k: int) -> Iterator[tuple[int, ...]]:
    return itertools.product((-1, 1), repeat=k)


@settings(max_examples=60, deadline=None)
@given(st.lists(GRID, min_size=1, max_size=9))
def test_the_p_value_is_that_of_all_sign_patterns(differences: list[float]) -> None:
    assert paired_permutation(differences, alone(differences)) == pytest.approx(by_enumeration(differences), abs=1e-12)


def test_the_p_value_agrees_with_scipy() -> None:
    generator = np.random.default_rng(1)
    for n in (5, 8, 10):
        differences = np.round(generator.normal(-0.2, 0.5, n), 4)
        expected = stats.permutation_test(
            (differences,), np.sum, permutation_type="samples", alternative="less", n_resamples=np.inf
        ).pvalue
        assert paired_permutation(differences.tolist(), alone(differences)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([-1.0] * 5, 1 / 32),
        ([1.0] * 5, 1.0),
        ([-1.0, -1.0, 1.0], 0.5),  # one of 3 flipped or none: (1 + 3) / 8
        ([0.0, 0.0], 1.0),
        ([-1.0, 0.0], 0.5),
        ([-1e-9], 1.0),  # below the grid nothing was seen
    ],
)
def test_known_p_values(differences: list[float], expected: float) -> None:
    assert paired_permutation(differences, alone(differences)) == pytest.approx(expected)


def test_one_user_cannot_prove_anything_by_writing_a_lot() -> None:
    assert paired_permutation([-1.0] * 100, ["kim"] * 100) == 0.5
    assert paired_permutation([-1.0] * 100, [n % 4 for n in range(100)]) == 1 / 16


def test_a_coarser_grid_gives_nearly_the_same_answer() -> None:
    generator = np.random.default_rng(2)
    differences = generator.normal(-0.1, 1.0, 250)
    exact = paired_permutation(differences.tolist(), alone(differences))
    thousandfold = paired_permutation((1_000 * differences).tolist(), alone(differences))
    assert thousandfold == pytest.approx(exact, rel=0.01)


def test_three_hundred_pairs_take_less_than_a_second_even_at_the_middle() -> None:
    differences = np.random.default_rng(3).normal(0.0, 3.0, 300)
    began = time.perf_counter()
    assert 0.0 < paired_permutation(differences.tolist(), alone(differences)) < 1.0
    clustered_bootstrap(differences.tolist(), alone(differences))
    assert time.perf_counter() - began < 2.0


@pytest.mark.slow
def test_under_no_difference_it_errs_as_often_as_promised() -> None:
    generator = np.random.default_rng(4)
    # heavy-tailed and with few pairs: where the normal approximation fails
    trials = [paired_permutation(generator.standard_t(2, 15).tolist(), range(15)) for _ in range(1_000)]
    assert np.mean(np.array(trials) <= 0.05) == pytest.approx(0.05, abs=0.02)  # three standard errors


def test_the_bounds_hold_as_often_as_promised_when_users_differ() -> None:
    generator = np.random.default_rng(5)
    users = np.repeat(np.arange(25), 4)
    clustered = ignoring = 0
    for trial in range(400):
        values = (generator.normal(0, 1, 25)[users] + generator.normal(0, 0.5, 100)).tolist()
        clustered += clustered_bootstrap(values, users.tolist(), draws=400, seed=trial).upper > 0
        ignoring += clustered_bootstrap(values, alone(values), draws=400, seed=trial).upper > 0
    assert clustered / 400 == pytest.approx(0.95, abs=0.035)
    assert ignoring / 400 < 0.85  # what ignoring the users would cost


def test_the_interval_is_that_of_the_t_test_for_well_behaved_data() -> None:
    values = np.random.default_rng(6).normal(-0.3, 1.0, 60)
    interval = clustered_bootstrap(values.tolist(), alone(values), draws=20_000)
    error = values.std(ddof=1) / np.sqrt(60)
    reach = stats.t.ppf(0.95, 59) * error
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.lower == pytest.approx(values.mean() - reach, abs=0.15 * error)
    assert interval.upper == pytest.approx(values.mean() + reach, abs=0.15 * error)


def test_the_bounds_of_few_clusters_are_as_wide_as_those_of_the_t_test() -> None:
    generator, ratios = np.random.default_rng(10), []
    for trial in range(60):
        values = generator.normal(0.0, 1.0, 8)
        interval = clustered_bootstrap(values.tolist(), range(8), draws=2_000, seed=trial)
        ratios.append((interval.upper - interval.lower) / (2 * stats.t.ppf(0.95, 7) * values.std(ddof=1) / np.sqrt(8)))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.04)  # plain percentiles give 0.81


def test_the_bootstrap_repeats_itself_by_seed_alone() -> None:
    values = np.random.default_rng(7).normal(0, 1, 40).tolist()
    assert clustered_bootstrap(values, alone(values), seed=1) == clustered_bootstrap(values, alone(values), seed=1)
    assert clustered_bootstrap(values, alone(values), seed=1) != clustered_bootstrap(values, alone(values), seed=2)


def test_one_cluster_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two clusters to resample, found 1"):
        clustered_bootstrap([1.0, 2.0], ["a", "a"])
    assert np.isnan(standard_error([1.0, 2.0], ["a", "a"]))
    assert power([1.0, 2.0], ["a", "a"], effect=0.1) is None
    assert power([1.0, 1.0], ["a", "b"], effect=0.1) is None


def test_the_standard_error_is_the_usual_one_without_clusters_and_larger_with_them() -> None:
    values = np.random.default_rng(8).normal(0, 1, 50)
    assert standard_error(values.tolist(), alone(values)) == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    doubled = np.repeat(values, 2).tolist()
    assert standard_error(doubled, np.repeat(np.arange(50), 2).tolist()) == pytest.approx(
        standard_error(values.tolist(), alone(values))
    )


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [2, 6, 67, 1001])
@pytest.mark.parametrize("spread", [1e-17, 1e-9, 5e-4, 8.1e-4, 1e-3])
@pytest.mark.parametrize(("effect", "certain"), [(0.03, 1.0), (-0.03, 0.0)])
def test_a_spread_of_almost_nothing_has_a_power_all_the_same(
    clusters: int, spread: float, effect: float, certain: float
) -> None:
    values = [0.3 + spread * (at % 2) * clusters**0.5 for at in range(clusters)]
    found = power(values, range(clusters), effect)
    if found is None:
        assert len(set(values)) == 1, "nothing spreads"
    else:
        assert abs(found.power - certain) < 0.15 if clusters > 2 else 0.0 <= found.power <= 1.0


def test_the_stated_power_is_what_the_permutation_test_reaches() -> None:
    generator = np.random.default_rng(9)
    spread = generator.normal(0, 1, 30)
    spread = (spread - spread.mean()) / spread.std(ddof=1)
    stated = power(spread.tolist(), range(30), effect=0.4)
    assert stated is not None
    found = [paired_permutation(generator.normal(-0.4, 1, 30).tolist(), range(30)) <= 0.05 for _ in range(800)]
    assert np.mean(found) == pytest.approx(stated.power, abs=0.05)
    at_the_limit = power(spread.tolist(), range(30), effect=stated.detectable_effect)
    assert at_the_limit is not None
    assert at_the_limit.power == pytest.approx(0.8, abs=0.01)


def test_arguments_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_permutation([1.0, 2.0], ["a"])


def test_the_distributions_agree_with_scipy_stats_to_twelve_digits() -> None:
    generator = np.random.default_rng(4)
    for k in (2, 3, 5, 12, 40, 200, 3000):
        differences, clusters = generator.normal(-0.1, 1.0, 2 * k).tolist(), [n // 2 for n in range(2 * k)]
        error = standard_error(differences, clusters)
        for alpha in (0.001, 0.05, 0.2):
            critical = stats.t.ppf(1.0 - alpha, k - 1)
            for effect in (0.0, 0.05, 1.0, 5.0):
                found = power(differences, clusters, effect, alpha)
                assert found is not None
                assert found.power == pytest.approx(stats.nct.sf(critical, k - 1, effect / error), abs=1e-12)
                detectable = (critical + stats.t.ppf(0.8, k - 1)) * error
                assert found.detectable_effect == pytest.approx(detectable, rel=1e-12)
            sums, counts = cluster_totals(differences, clusters)
            tail = stats.norm.cdf(np.sqrt(k / (k - 1)) * stats.t.ppf(alpha, k - 1))
            picks = np.random.default_rng(0).integers(0, k, size=(100, k))
            means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
            bounds = clustered_bootstrap(differences, clusters, 100, 0, alpha)
            assert (bounds.lower, bounds.upper) == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])), rel=1e-12)
