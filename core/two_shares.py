"""Two shares of users compared: Newcombe, pooled z or Fisher, the odds ratio; and chi-square for a split."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from core import proportions
from core.two_means import Effect, Floats

SRM_ALARM = 0.001
LEAST_EXPECTED = 5.0


class Share(NamedTuple):
    """`hits` of `n` users."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else float("nan")


def wilson(share: Share, alpha: float = 0.05) -> tuple[float, float]:
    """The score interval of one share."""
    lower, upper = proportions.wilson(share.value, share.n, alpha / 2)
    return float(lower), float(upper)


def newcombe(control: Share, challenger: Share, alpha: float = 0.05) -> Effect:
    """Difference of two shares with Newcombe's hybrid score interval (1998, method 10) and the p-value that suits."""
    (low1, high1), (low2, high2) = wilson(control, alpha), wilson(challenger, alpha)
    p1, p2 = control.value, challenger.value
    lower = p2 - p1 - np.sqrt((p2 - low2) ** 2 + (high1 - p1) ** 2)
    upper = p2 - p1 + np.sqrt((high2 - p2) ** 2 + (p1 - low1) ** 2)
    error = np.sqrt(p1 * (1 - p1) / control.n + p2 * (1 - p2) / challenger.n)
    return Effect(p2 - p1, float(lower), float(upper), shares_p_value(control, challenger), float(error))


def shares_p_value(control: Share, challenger: Share) -> float:
    """Pooled z; Fisher's exact test where fewer than five are expected in a cell."""
    n = control.n + challenger.n
    hits = control.hits + challenger.hits
    expected = min(control.n, challenger.n) * min(hits, n - hits) / n
    return fisher(control, challenger) if expected < LEAST_EXPECTED else pooled_z(control, challenger)


def pooled_z(control: Share, challenger: Share) -> float:
    """Two-sided p-value of equal shares by the pooled variance, which is chi-square without correction."""
    pooled = (control.hits + challenger.hits) / (control.n + challenger.n)
    error = np.sqrt(pooled * (1 - pooled) * (1 / control.n + 1 / challenger.n))
    return 1.0 if error == 0.0 else float(2 * special.ndtr(-abs((challenger.value - control.value) / error)))


def fisher(control: Share, challenger: Share) -> float:
    """Two-sided exact p-value: all tables with these margins that are no likelier than the one seen."""
    hits, n = control.hits + challenger.hits, control.n + challenger.n
    possible = np.arange(max(0, hits - challenger.n), min(hits, control.n) + 1, dtype=np.float64)
    logs = _log_choose(control.n, possible) + _log_choose(challenger.n, hits - possible) - _log_choose(n, hits)
    seen = logs[control.hits - int(possible[0])]
    return min(1.0, float(np.exp(logs[logs <= seen + 1e-9]).sum()))


def odds_ratio(control: Share, challenger: Share, alpha: float = 0.05) -> Effect:
    """Challenger's odds over the control's by Woolf's interval; an empty cell adds one half to all (Haldane)."""
    cells = np.array(
        [challenger.hits, challenger.n - challenger.hits, control.hits, control.n - control.hits], dtype=np.float64
    )
    if (cells == 0).any():
        cells = cells + 0.5
    log, error = float(np.log(cells[0] * cells[3] / (cells[1] * cells[2]))), float(np.sqrt((1 / cells).sum()))
    reach = float(special.ndtri(1 - alpha / 2)) * error
    p_value = float(2 * special.ndtr(-abs(log / error)))
    return Effect(float(np.exp(log)), float(np.exp(log - reach)), float(np.exp(log + reach)), p_value, error)


def least_expected(n: int, weights: Sequence[float]) -> float:
    """Of n units, those that the smallest share stands for."""
    return n * min(weights) / sum(weights)


def split_p_value(seen: Sequence[int], weights: Sequence[float]) -> float:
    """Chi-square of exposed units against the planned split; below SRM_ALARM something loses or adds units."""
    counts = np.asarray(seen, dtype=np.float64)
    if counts.sum() == 0:
        return 1.0
    expected = counts.sum() * np.asarray(weights, dtype=np.float64) / sum(weights)
    return float(special.chdtrc(len(counts) - 1, ((counts - expected) ** 2 / expected).sum()))


def _log_choose(n: int, k: Floats | float) -> Floats:
    logs: Floats = special.gammaln(n + 1) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return logs
