"""Two shares of the same items compared: intervals that hold for few of them, and the exact sign test.

No bare normal approximation: below some 300 items it is too narrow, and it is nothing at all where no answer differs.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from core.statistics import Interval

Floats = NDArray[np.float64]


class Discordance(NamedTuple):
    """The same `n` items under two models: met by `both`, by the `candidate` alone, by the `reference` alone."""

    both: int
    candidate: int
    reference: int
    n: int

    @property
    def change(self) -> float:
        """Share under the candidate minus share under the reference."""
        return (self.candidate - self.reference) / self.n if self.n else float("nan")


def paired_newcombe(seen: Discordance, alpha: float = 0.05) -> Interval:
    """Change of a share between paired answers with one-sided 1 - alpha bounds; ValueError without an item.

    Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions based on paired
    data", method 10: Wilson's score intervals of both shares, put together with the correlation of the answers.
    """
    if seen.n < 1:
        raise ValueError("Expected at least one item answered by both models, found none")
    both, candidate, reference = (np.array([float(count)]) for count in seen[:3])
    lower, upper = _newcombe(both, candidate, reference, seen.n, alpha)
    return Interval(seen.change, float(lower[0]), float(upper[0]))


def wilson(share: Floats | float, n: int, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Wilson's (1927) score bounds of a share of n, each holding with 1 - alpha by itself."""
    z = float(special.ndtri(1.0 - alpha))
    middle, width = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


def exact_upper(hits: int, n: int, alpha: float = 0.05) -> float:
    """Clopper and Pearson's upper bound of one share; the rule of three where nothing was hit."""
    return 1.0 if hits >= n else float(special.betaincinv(hits + 1, n - hits, 1.0 - alpha))


def sign_test(worse: int, better: int) -> float:
    """Exact one-sided p-value that less than half of the differing items got worse (McNemar's exact test)."""
    return float(special.bdtr(worse, worse + better, 0.5)) if worse + better else 1.0


@lru_cache(maxsize=1024)
def pass_chance(seen: Discordance, margin: float, alpha: float = 0.05, effect: float = 0.0) -> float:
    """Chance that the lower bound stays above -margin if the true change were `-effect`, as many answers differing.

    Summed over all tables of differing answers, at the share of differing answers seen (at least one in n).
    """
    n, differing = seen.n, max(1, seen.candidate + seen.reference)
    share = min(1.0, max(differing / n, effect))
    better, worse = (share - effect) / 2.0, (share + effect) / 2.0
    candidate, reference = (grid.ravel().astype(np.float64) for grid in np.mgrid[0 : n + 1, 0 : n + 1])
    possible = candidate + reference <= n
    candidate, reference = candidate[possible], reference[possible]
    same = n - candidate - reference
    logs = special.gammaln(n + 1) - sum(special.gammaln(k + 1) for k in (candidate, reference, same))
    logs = logs + special.xlogy(candidate, better) + special.xlogy(reference, worse) + special.xlogy(same, 1.0 - share)
    likely = logs > -25.0  # the rest is less than 1e-6 of all, and most of the tables
    agreeing = seen.n - seen.candidate - seen.reference
    met = seen.both / agreeing if agreeing else 0.5
    both = np.rint(same[likely] * met)
    lower, _ = _newcombe(both, candidate[likely], reference[likely], n, alpha)
    return float(np.exp(logs[likely])[lower > -margin].sum())


def _newcombe(both: Floats, candidate: Floats, reference: Floats, n: int, alpha: float) -> tuple[Floats, Floats]:
    first, second = both + candidate, both + reference
    p1, p2 = first / n, second / n
    low1, high1 = wilson(p1, n, alpha)
    low2, high2 = wilson(p2, n, alpha)
    neither = n - both - candidate - reference
    product = both * neither - candidate * reference
    # the continuity correction of method 10: a correlation that could be chance counts as none
    product = np.where(product > n / 2, product - n / 2, np.minimum(product, 0.0))
    spread = np.sqrt(first * (n - first) * second * (n - second))
    phi = np.divide(product, spread, out=np.zeros_like(product), where=spread > 0)
    change = p1 - p2
    down, up = p1 - low1, high2 - p2
    lower = change - np.sqrt(np.maximum(0.0, down**2 - 2 * phi * down * up + up**2))
    down, up = p2 - low2, high1 - p1
    upper = change + np.sqrt(np.maximum(0.0, up**2 - 2 * phi * up * down + down**2))
    return lower, upper
