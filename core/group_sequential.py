"""A few planned looks at one comparison: boundaries that keep its error rate, by recursive integration.

Armitage, McPherson, Rowe (1969) for the recursion; Lan and DeMets (1983) for spending the error as O'Brien and
Fleming's test does, so that a look may happen earlier or later than planned. Fractions are shares of the planned
users, growing; statistics are z-values.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

NODES = 128
NEVER = 8.0  # a z-value beyond which nothing is spent that a float could show
STEPS = 50
_LEAST_LOG = -34.0


def spent(fraction: float, alpha: float = 0.05) -> float:
    """Of the two-sided error rate, what may be used up to `fraction`: half of it on each side."""
    return float(4 * special.ndtr(-special.ndtri(1 - alpha / 4) / np.sqrt(min(fraction, 1.0))))


@lru_cache(maxsize=256)
def boundaries(fractions: tuple[float, ...], alpha: float = 0.05) -> tuple[float, ...]:
    """The z-value that decides at each look; those of the first looks do not hang on the later ones."""
    path, found, used = _Path(), [], 0.0
    for fraction in fractions:
        may = spent(fraction, alpha)
        found.append(path.boundary(fraction, max(0.0, may - used)))
        path.go_on(fraction, found[-1])
        used = may
    return tuple(found)


@lru_cache(maxsize=32)
def obrien_fleming(looks: int, alpha: float = 0.05) -> tuple[float, ...]:
    """The classical boundaries C·sqrt(looks / k) of equally spaced looks."""
    fractions = tuple((number + 1) / looks for number in range(looks))

    def shape(c: float) -> tuple[float, ...]:
        return tuple(c / np.sqrt(fraction) for fraction in fractions)

    c = _falling(lambda c: crossing_chance(fractions, shape(c)), alpha, 1.0, NEVER)
    return tuple(float(z) for z in shape(c))


def crossing_chance(fractions: Sequence[float], bounds: Sequence[float]) -> float:
    """How often at least one look crosses its boundary, on either side, where there is no difference."""
    path, crossed = _Path(), 0.0
    for fraction, bound in zip(fractions, bounds, strict=True):
        crossed += path.crossing(fraction, bound)
        path.go_on(fraction, bound)
    return crossed


def repeated_p_value(fractions: Sequence[float], statistics: Sequence[float]) -> float:
    """The least alpha at which one of the looks would have decided; it survives having looked at each of them."""
    looks = range(1, len(statistics) + 1)
    return min((_p_at(tuple(fractions[:k]), abs(statistics[k - 1])) for k in looks), default=1.0)


@lru_cache(maxsize=1024)
def _p_at(fractions: tuple[float, ...], statistic: float) -> float:
    if boundaries(fractions, 0.999)[-1] > statistic:
        return 1.0
    log = _falling(
        lambda log: boundaries(fractions, float(np.exp(log)))[-1], statistic, -34.0, np.log(0.999), STEPS // 2
    )
    return float(np.exp(log))


class _Path:
    """The density of the score (z·sqrt(fraction)) over the paths that have not crossed yet."""

    def __init__(self) -> None:
        self._fraction = 0.0
        self._points: Floats = np.zeros(1)
        self._masses: Floats = np.ones(1)

    def crossing(self, fraction: float, bound: float) -> float:
        step, edge = np.sqrt(fraction - self._fraction), bound * np.sqrt(fraction)
        tails = special.ndtr((-edge - self._points) / step) + special.ndtr((self._points - edge) / step)
        return float((self._masses * tails).sum())

    def boundary(self, fraction: float, chance: float) -> float:
        return _falling(lambda bound: self.crossing(fraction, bound), chance, 0.0, NEVER)

    def go_on(self, fraction: float, bound: float) -> None:
        step, edge = np.sqrt(fraction - self._fraction), bound * np.sqrt(fraction)
        nodes, weights = _gauss(NODES)
        points = nodes * edge
        kernel = np.exp(-np.square((points[:, None] - self._points[None, :]) / step) / 2) / (step * np.sqrt(2 * np.pi))
        self._masses = weights * edge * (kernel @ self._masses)
        self._points, self._fraction = points, fraction


@lru_cache(maxsize=4)
def _gauss(nodes: int) -> tuple[Floats, Floats]:
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return points, weights


def _falling(value: Callable[[float], float], wanted: float, low: float, high: float, steps: int = STEPS) -> float:
    """Where a falling function has come down to `wanted`, by bisection."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) > wanted else (low, middle)
    return high
