"""What the users of one arm did: for each metric a sum and a count a user, so that a user counts once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from core.two_means import Floats


class Sums(NamedTuple):
    """One entry a user who has the metric: the sum of its values, and of how many; `past` is the mean before."""

    sums: Floats
    counts: Floats
    past: Floats | None = None

    @property
    def means(self) -> Floats:
        """A user's mean, which is what is compared."""
        return self.sums / self.counts

    @property
    def users(self) -> int:
        return len(self.sums)

    @property
    def share(self) -> float:
        """Over all replies, whoever had them."""
        return float(self.sums.sum() / self.counts.sum()) if self.users else float("nan")


NOBODY = Sums(np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class ArmFigures:
    """`exposed` users, of whom each metric knows some."""

    name: str
    exposed: int
    metrics: Mapping[str, Sums] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> Sums:
        return self.metrics.get(metric, NOBODY)
