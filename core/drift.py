"""How far two distributions lie apart, bucket by bucket."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# the customary reading: below 0.1 stable, up to 0.25 a shift, above it another population (Siddiqi 2006, ch. 9)
LARGE = 0.25
# with fewer on either side the measure is mostly chance
ENOUGH = 200


@dataclass(frozen=True)
class Drift:
    """`psi` and `divergence` are of all buckets; `now` and `before` say how many were compared."""

    psi: float
    divergence: float
    now: int
    before: int

    @property
    def large(self) -> bool:
        """Whether it is another population, as far as the numbers are enough to say."""
        return min(self.now, self.before) >= ENOUGH and self.psi > LARGE


def drift(now: Mapping[str, int], before: Mapping[str, int]) -> Drift:
    """Compare the counts of the same buckets; half an observation is added to each, so that none is empty.

    PSI, population stability index: sum over buckets of (p - q) ln(p / q), the symmetrised Kullback-Leibler divergence
    (Jeffreys 1946; Siddiqi, Credit Risk Scorecards, 2006). Divergence: Jensen-Shannon in bits, 0 to 1 (Lin 1991).
    """
    buckets = sorted({*now, *before})
    if not buckets:
        return Drift(0.0, 0.0, 0, 0)
    p, q = _shares(now, buckets), _shares(before, buckets)
    middle = (p + q) / 2
    psi = float(np.sum((p - q) * np.log(p / q)))
    divergence = float(np.sum(p * np.log2(p / middle) + q * np.log2(q / middle)) / 2)
    return Drift(round(psi, 4), round(divergence, 4), sum(now.values()), sum(before.values()))


def _shares(counts: Mapping[str, int], buckets: list[str]) -> NDArray[np.float64]:
    numbers = np.array([counts.get(bucket, 0) for bucket in buckets], np.float64) + 0.5
    shares: NDArray[np.float64] = numbers / numbers.sum()
    return shares
