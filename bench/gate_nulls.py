"""How often the gate promotes what is no better, and what is: drawn from the paired losses of a real evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.gate import judge
from core.gate_losses import Question, better
from core.statistics import power
from core.verdict import Evaluation, GateThresholds, PairedLoss

DRAWS = 10_000
SEED = 11


@dataclass(frozen=True)
class Drawn:
    """Of `draws` evaluations with a true change of `effect`, how many were promoted, and the plan for it."""

    effect: float
    draws: int
    promoted: int
    planned: float | None


def draw(real: Evaluation, effect: float, draws: int = DRAWS) -> Drawn:
    """Signs of whole clusters flipped around `effect`: what the test takes as exchangeable is exchanged."""
    limits = GateThresholds()
    units = [pair.unit for pair in real.held_out]
    spread = residuals(real)
    chance = np.random.default_rng([SEED, round(-effect * 1_000)])
    clusters = {unit: at for at, unit in enumerate(dict.fromkeys(units))}
    of = np.array([clusters[unit] for unit in units])
    promoted = 0
    for _ in range(draws):
        signs = chance.choice([-1.0, 1.0], size=len(clusters))[of]
        promoted += promotes(real, (effect + signs * spread).tolist(), limits)
    planned = power(spread.tolist(), units, -effect - limits.superiority_margin, limits.alpha)
    return Drawn(effect, draws, promoted, planned.power if planned else None)


def residuals(real: Evaluation) -> NDArray[np.float64]:
    """Each conversation's change of loss without the mean change."""
    changes = np.array([pair.candidate - pair.base for pair in real.held_out])
    return changes - changes.mean()


def promotes(real: Evaluation, changes: Sequence[float], limits: GateThresholds) -> bool:
    """The verdict of the gate; what fails its superiority check is not judged further, as nothing else can save it."""
    measured = real.model_copy(update={"held_out": with_changes(real.held_out, changes)})
    if not better(
        "held_out_loss_vs_champion", Question(measured, QUICK, measured.held_out, "held-out", None), limits.alpha
    ).passed:
        return False
    return judge(measured, QUICK).promoted


def with_changes(pairs: Sequence[PairedLoss], changes: Sequence[float]) -> tuple[PairedLoss, ...]:
    return tuple(
        pair.model_copy(update={"candidate": pair.base + change}) for pair, change in zip(pairs, changes, strict=True)
    )


# intervals by fewer draws: the superiority check below 300 conversations is exact and draws nothing
QUICK = GateThresholds(bootstrap_draws=200)
