"""Looking often keeps its promise: boundaries and sequences against published values and by simulation."""

import math

import numpy as np
import pytest

from core import confidence_sequence
from core.confidence_sequence import always_valid_p, one_sided_reach, reach
from core.group_sequential import boundaries, crossing_chance, obrien_fleming, repeated_p_value, spent

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


# Armitage, McPherson, Rowe (1969), table 2: repeated two-sided tests at 5 %
@pytest.mark.parametrize(("looks", "chance"), [(1, 0.05), (2, 0.0831), (5, 0.1417), (10, 0.1934), (50, 0.3204)])
def test_peeking_costs_what_armitage_computed(looks: int, chance: float) -> None:
    fractions = [(look + 1) / looks for look in range(looks)]
    assert crossing_chance(fractions, [1.959964] * looks) == pytest.approx(chance, abs=6e-5)


# Jennison, Turnbull, "Group Sequential Methods" (2000), table 2.3, C_B(K, 0.05)
@pytest.mark.parametrize(("looks", "constant"), [(1, 1.960), (2, 1.977), (3, 2.004), (5, 2.040), (10, 2.087)])
def test_obrien_and_flemings_constants_are_the_published_ones(looks: int, constant: float) -> None:
    assert obrien_fleming(looks)[-1] == pytest.approx(constant, abs=6e-4)
    assert obrien_fleming(looks)[0] == pytest.approx(obrien_fleming(looks)[-1] * math.sqrt(looks))


def test_spending_boundaries_are_the_published_ones() -> None:
    # Reboussin, DeMets, Kim, Lan, "Computations for group sequential boundaries" (2000): five equal looks
    assert boundaries(FIFTHS) == pytest.approx((4.8769, 3.3569, 2.6803, 2.2898, 2.0310), abs=2e-4)


def test_boundaries_use_exactly_alpha_wherever_the_looks_fall() -> None:
    for fractions in (FIFTHS, (0.13, 0.5, 0.55, 1.0), (0.9, 1.0)):
        assert crossing_chance(fractions, boundaries(fractions)) == pytest.approx(0.05, abs=1e-6)
    assert spent(1.0) == pytest.approx(0.05)
    assert spent(2.0) == pytest.approx(0.05)


def test_a_boundary_does_not_hang_on_later_looks() -> None:
    assert boundaries(FIFTHS)[:2] == boundaries((0.2, 0.4))


def test_the_repeated_p_value_is_alpha_on_the_boundary() -> None:
    for look, z in enumerate(boundaries(FIFTHS)[1:], start=2):
        assert repeated_p_value(FIFTHS[:look], [0.0] * (look - 1) + [z]) == pytest.approx(0.05, rel=1e-4)
    assert repeated_p_value([0.5], [0.0]) == 1.0
    assert repeated_p_value([], []) == 1.0


def test_a_single_look_at_the_end_is_the_ordinary_test() -> None:
    assert repeated_p_value([1.0], [-2.5758293]) == pytest.approx(0.01, rel=1e-4)


def test_later_looks_do_not_take_back_what_an_earlier_one_decided() -> None:
    early = repeated_p_value(FIFTHS[:3], [0.0, 0.0, 3.0])
    assert repeated_p_value(FIFTHS[:4], [0.0, 0.0, 3.0, 0.5]) == early


def test_the_interval_is_the_published_formula() -> None:
    # written out from arXiv 2103.06476
    n, error, alpha = 3000, 0.04, 0.05
    r = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 5000)
    scale = n * r**2 + 1
    wanted = error * math.sqrt(n) * math.sqrt(2 * scale / (n * r) ** 2 * math.log(math.sqrt(scale) / alpha))
    assert reach(n, error) == pytest.approx(wanted, rel=1e-9)


def test_the_p_value_is_alpha_where_the_interval_touches_zero() -> None:
    half = reach(800, 0.07)
    assert always_valid_p(half, 800, 0.07) == pytest.approx(0.05, rel=1e-9)
    assert always_valid_p(0.0, 800, 0.07) == 1.0
    assert always_valid_p(9.0, 800, 0.01) < 1e-12


def test_one_side_alone_is_narrower() -> None:
    assert one_sided_reach(2000, 0.05) < reach(2000, 0.05)


def test_a_promise_for_every_moment_costs_width_at_each() -> None:
    widths = [reach(n, 1 / math.sqrt(n)) * math.sqrt(n) for n in (100, 5000, 100_000)]
    assert min(widths) == widths[1]
    assert all(width > 1.96 for width in widths)


@pytest.mark.parametrize("one_sided", [False, True])
def test_continuous_looking_stops_an_aa_test_in_at_most_five_percent(one_sided: bool) -> None:
    random = np.random.default_rng(11)
    tests, n = 800, 2000
    walks = np.cumsum(random.normal(0, 1, (tests, n)), axis=1)
    counts = np.arange(1, n + 1)
    half = one_sided_reach if one_sided else reach
    limits = np.array([half(int(k), 1 / math.sqrt(k)) for k in counts])
    means = walks / counts if one_sided else np.abs(walks / counts)
    stopped = (means > limits)[:, confidence_sequence.FIRST_LOOK :].any(axis=1).mean()
    assert stopped <= 0.05
    assert stopped > 0.0005  # a sequence that never stops would hold its promise too
