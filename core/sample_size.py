"""How many users a comparison needs, and what it can see with those it has."""

from collections.abc import Callable

import numpy as np
from scipy import special

from core.statistics import noncentral_t_below

MOST_USERS = 100_000_000


def power_of_means(effect_size: float, n1: float, n2: float, alpha: float = 0.05) -> float:
    """Power of the two-sided t test for a difference of `effect_size` standard deviations, by the noncentral t."""
    freedom, shift = n1 + n2 - 2, abs(effect_size) / np.sqrt(1 / n1 + 1 / n2)
    critical = special.stdtrit(freedom, 1 - alpha / 2)
    if freedom > 10_000:  # beyond, the noncentral t is normal to six digits and its series no longer converges
        return float(special.ndtr(shift - critical) + special.ndtr(-shift - critical))
    missed, wrong_way = (noncentral_t_below(t, freedom, shift) for t in (critical, -critical))
    return float(np.clip(1 - missed + wrong_way, 0.0, 1.0))


def users_for_means(difference: float, deviation: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Users in each arm; None when no number of them would do."""
    if difference == 0.0 or not np.isfinite(deviation):
        return None
    return _least(lambda n: power_of_means(difference / deviation, n, n, alpha) >= power) if deviation else 2


def users_for_shares(p1: float, p2: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Users in each arm for two shares (Fleiss, without correction for continuity)."""
    if p1 == p2:
        return None
    middle = (p1 + p2) / 2
    reach = special.ndtri(1 - alpha / 2) * np.sqrt(2 * middle * (1 - middle))
    reach += special.ndtri(power) * np.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return int(np.ceil((reach / (p2 - p1)) ** 2))


def _least(enough: Callable[[int], bool]) -> int | None:
    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
        if high > MOST_USERS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
