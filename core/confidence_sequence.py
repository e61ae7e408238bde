"""Intervals that hold at every moment at once, so that looking often costs nothing: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (arXiv 2103.06476). `n` counts the users of both arms, `error` is the standard error of the difference.
"""

import math

PLANNED_USERS = 5000
FIRST_LOOK = 100


def tuning(alpha: float = 0.05, planned: int = PLANNED_USERS) -> float:
    """The mixture's scale that makes the interval tightest at `planned` users; fixed before the first look."""
    log = -2 * math.log(alpha)
    return math.sqrt((log + math.log(log + 1)) / planned)


def reach(n: int, error: float, alpha: float = 0.05, planned: int = PLANNED_USERS) -> float:
    """Half the width of the two-sided interval around the estimate."""
    scale = n * tuning(alpha, planned) ** 2 + 1
    return _times(n, error, alpha, planned) * math.sqrt(2 * math.log(math.sqrt(scale) / alpha))


def one_sided_reach(n: int, error: float, alpha: float = 0.05, planned: int = PLANNED_USERS) -> float:
    """How far one bound lies from the estimate, when only that side matters."""
    scale = n * tuning(2 * alpha, planned) ** 2 + 1
    return _times(n, error, 2 * alpha, planned) * math.sqrt(2 * math.log(1 + math.sqrt(scale) / (2 * alpha)))


def always_valid_p(estimate: float, n: int, error: float, alpha: float = 0.05, planned: int = PLANNED_USERS) -> float:
    """The p-value that goes with `reach`: at most alpha exactly when that interval leaves zero out."""
    if error == 0.0:
        return 1.0 if estimate == 0.0 else 0.0
    squared = tuning(alpha, planned) ** 2
    scale = n * squared + 1
    log_evidence = squared * n * (estimate / error) ** 2 / (2 * scale) - math.log(scale) / 2
    return min(1.0, math.exp(min(0.0, -log_evidence)))


def _times(n: int, error: float, alpha: float, planned: int) -> float:
    squared = n * tuning(alpha, planned) ** 2
    return error * math.sqrt((squared + 1) / squared)
