"""Paired statistics that stay honest for few conversations and for users who wrote many of them.

All take differences (candidate minus reference, nats a token, negative is better) and the cluster of each.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

FINEST_STEP = 1e-4
MOST_STEPS = 1_000_000
GATHERED_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """Each bound holds by itself with the confidence asked for."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Power:
    """`power` to see the stated effect, and the least effect seen in 80 % of cases."""

    power: float
    detectable_effect: float


def cluster_totals(differences: Sequence[float], clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and count of the differences of each cluster, in order of first appearance; the arguments pair up."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    where = np.array([numbers[name] for _, name in zip(differences, clusters, strict=True)], dtype=np.intp)
    values = np.asarray(differences, dtype=np.float64)
    return np.bincount(where, weights=values).astype(np.float64), np.bincount(where).astype(np.float64)


def paired_permutation(differences: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Exact one-sided p-value that the differences are below zero, flipping the sign of whole clusters.

    Differences are rounded to a grid of 1e-4 nats (coarser only where they sum to more than a million steps) and the
    distribution over all 2^k sign patterns is built by dynamic programming. Rounding is symmetric, so the test stays
    exact: it is the permutation test of the rounded differences.
    """
    sums, _ = cluster_totals(differences, clusters)
    total = float(np.abs(sums).sum())
    if total == 0.0:
        return 1.0
    step = max(FINEST_STEP, total / MOST_STEPS)
    steps = np.rint(np.abs(sums) / step).astype(np.int64)
    worse = int(steps[sums > 0].sum())
    everything = int(steps.sum())
    # at or below the middle the lower tail is the shorter one; above it the upper tail is, by symmetry
    if 2 * worse <= everything:
        return _chance_of_at_most(worse, steps)
    return min(1.0, 1.0 - _chance_of_at_most(everything - worse - 1, steps))


def _chance_of_at_most(limit: int, steps: NDArray[np.int64]) -> float:
    """P(the sum of a random subset of the steps is at most the limit)."""
    if limit < 0:
        return 0.0
    chance = np.zeros(limit + 1)
    chance[0] = 1.0
    for size in steps:
        chance *= 0.5
        if size == 0:
            chance *= 2.0
        elif size <= limit:
            chance[size:] += chance[:-size].copy()
    return float(chance.sum())


def clustered_bootstrap(
    differences: Sequence[float], clusters: Sequence[Hashable], draws: int = 10_000, seed: int = 0, alpha: float = 0.05
) -> Interval:
    """Mean difference with one-sided 1 - alpha bounds, resampling whole clusters.

    The percentile is taken further out by the t quantile (Hesterberg's expanded percentile), because plain
    percentiles are too narrow for few clusters. ValueError for fewer than two clusters.
    """
    sums, counts = cluster_totals(differences, clusters)
    k = len(sums)
    if k < 2:
        raise ValueError(f"Expected at least two clusters to resample, found {k}")
    generator = np.random.default_rng(seed)
    means = np.concatenate([_resampled(sums, counts, rows, generator) for rows in _portions(draws, k)])
    tail = float(special.ndtr(np.sqrt(k / (k - 1)) * special.stdtrit(k - 1, alpha)))
    lower, upper = np.quantile(means, [tail, 1.0 - tail])
    return Interval(estimate=float(sums.sum() / counts.sum()), lower=float(lower), upper=float(upper))


def _portions(draws: int, k: int) -> list[int]:
    rows = max(1, GATHERED_AT_ONCE // k)
    return [min(rows, draws - start) for start in range(0, draws, rows)]


def _resampled(sums: Floats, counts: Floats, rows: int, generator: np.random.Generator) -> Floats:
    picks = generator.integers(0, len(sums), size=(rows, len(sums)))
    means: Floats = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    return means


def standard_error(differences: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Cluster-robust standard error of the mean difference; NaN for fewer than two clusters."""
    sums, counts = cluster_totals(differences, clusters)
    k = len(sums)
    if k < 2:
        return float("nan")
    n = float(counts.sum())
    residuals = sums - sums.sum() / n * counts
    return float(np.sqrt(k / (k - 1) * np.square(residuals).sum()) / n)


def power(
    differences: Sequence[float], clusters: Sequence[Hashable], effect: float, alpha: float = 0.05
) -> Power | None:
    """Power of the one-sided paired test by the noncentral t at the spread observed; None when nothing spreads."""
    error = standard_error(differences, clusters)
    if not np.isfinite(error) or error == 0.0:
        return None
    freedom = len(dict.fromkeys(clusters)) - 1
    critical = special.stdtrit(freedom, 1.0 - alpha)
    reached = 1.0 - noncentral_t_below(critical, freedom, effect / error)
    return Power(power=reached, detectable_effect=float((critical + special.stdtrit(freedom, 0.8)) * error))


def noncentral_t_below(t: float, freedom: float, shift: float) -> float:
    """The noncentral t's distribution; where it is no number in floating point, by Abramowitz and Stegun 26.7.10."""
    found = float(special.nctdtr(freedom, shift, t))
    if np.isfinite(found):
        return found
    return float(special.ndtr((t * (1.0 - 0.25 / freedom) - shift) / np.sqrt(1.0 + t * t / (2.0 * freedom))))
