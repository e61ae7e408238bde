"""Two samples of user means compared: Welch, Mann-Whitney, the standardised difference.

All take the control first and say by how much the challenger lies above it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

ROUNDING = 1e-12  # of the values: a difference or spread below it is none, but what adding floats leaves


class Effect(NamedTuple):
    """A difference with its two-sided interval; `p_value` of no difference, `error` its standard error."""

    estimate: float
    lower: float
    upper: float
    p_value: float
    error: float


class Ranks(NamedTuple):
    """Mann-Whitney: `superiority` is the chance that a challenger's value lies above a control's, ties as half."""

    superiority: float
    p_value: float


class Mean(NamedTuple):
    """A mean with its two-sided t interval."""

    n: int
    mean: float
    lower: float
    upper: float
    deviation: float


def mean_of(values: Floats, alpha: float = 0.05) -> Mean:
    """NaN for what too few values do not give."""
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < 2:
        return Mean(n, mean, float("nan"), float("nan"), float("nan"))
    deviation = float(values.std(ddof=1))
    reach = float(special.stdtrit(n - 1, 1 - alpha / 2)) * deviation / np.sqrt(n)
    return Mean(n, mean, mean - reach, mean + reach, deviation)


def welch(control: Floats, challenger: Floats, alpha: float = 0.05) -> Effect:
    """Difference of means under unequal variances (Welch-Satterthwaite). ValueError for fewer than two values."""
    _check_two(control, challenger)
    parts = [float(values.var(ddof=1)) / len(values) for values in (control, challenger)]
    estimate = float(challenger.mean() - control.mean())
    error = float(np.sqrt(sum(parts)))
    least = ROUNDING * float(max(np.abs(control).max(), np.abs(challenger).max()))
    if abs(estimate) <= least:
        estimate = 0.0
    if error <= least:
        return Effect(estimate, estimate, estimate, 1.0 if estimate == 0.0 else 0.0, 0.0)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (control, challenger), strict=True)
    )
    reach = float(special.stdtrit(freedom, 1 - alpha / 2)) * error
    p_value = float(2 * special.stdtr(freedom, -abs(estimate / error)))
    return Effect(estimate, estimate - reach, estimate + reach, p_value, error)


def hedges_g(control: Floats, challenger: Floats, alpha: float = 0.05) -> Effect:
    """Cohen's d with Hedges' correction for small samples and the normal interval of Hedges and Olkin (1985)."""
    _check_two(control, challenger)
    n1, n2 = len(control), len(challenger)
    n = n1 + n2
    pooled = ((n1 - 1) * control.var(ddof=1) + (n2 - 1) * challenger.var(ddof=1)) / (n - 2)
    if pooled == 0.0:
        return Effect(float("nan"), float("nan"), float("nan"), float("nan"), float("nan"))
    g = float((challenger.mean() - control.mean()) / np.sqrt(pooled)) * (1 - 3 / (4 * n - 9))
    return _normal(g, float(np.sqrt(n / n1 / n2 + g**2 / 2 / (n - 3.94))), alpha)


def mann_whitney(control: Floats, challenger: Floats) -> Ranks:
    """Normal approximation with corrections for ties and continuity."""
    _check_two(control, challenger)
    n1, n2 = len(control), len(challenger)
    _, inverse, counts = np.unique(np.concatenate([control, challenger]), return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    u = float(midranks[inverse[n1:]].sum()) - n2 * (n2 + 1) / 2
    n = n1 + n2
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    spread = np.sqrt(n1 * n2 / 12 * (n + 1 - ties / (n * (n - 1))))
    if spread == 0.0:
        return Ranks(0.5, 1.0)
    z = (abs(u - n1 * n2 / 2) - 0.5) / spread
    return Ranks(u / (n1 * n2), min(1.0, float(2 * special.ndtr(-z))))


def normal_effect(estimate: float, error: float, alpha: float = 0.05) -> Effect:
    """What a normal estimate and its standard error give."""
    return _normal(estimate, error, alpha)


def _normal(estimate: float, error: float, alpha: float) -> Effect:
    reach = float(special.ndtri(1 - alpha / 2)) * error
    if error == 0.0:
        return Effect(estimate, estimate, estimate, 1.0 if estimate == 0.0 else 0.0, 0.0)
    return Effect(estimate, estimate - reach, estimate + reach, float(2 * special.ndtr(-abs(estimate / error))), error)


def _check_two(control: Floats, challenger: Floats) -> None:
    if min(len(control), len(challenger)) < 2:
        raise ValueError(f"Expected two users or more in each arm, found {len(control)} and {len(challenger)}")
