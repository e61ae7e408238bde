"""The one decision that follows from an experiment.

Ship only if the success metric is better, no guardrail is worse and each is shown to hold (Schultzberg, Ankargren,
Frånberg, "Risk-aware product decisions in A/B tests with multiple metrics", 2024): the error rate of the decision
lies on the success metric alone, which is looked at a few planned times.
"""

import math
from collections.abc import Sequence
from typing import Literal

from core.arm_figures import ArmFigures
from core.comparisons import compare
from core.domain import Domain
from core.experiments import LEAST_RATED, METRICS, Design, Look
from core.group_sequential import boundaries, repeated_p_value
from core.two_shares import LEAST_EXPECTED, SRM_ALARM, least_expected, split_p_value

ALPHA = 0.05
LOOKS = 5

Outcome = Literal["blocked", "too_few", "going_on", "ship", "hold", "keep_control", "no_difference"]


class Split(Domain):
    """Exposed users an arm against the planned shares; not `ok` blocks every conclusion."""

    seen: dict[str, int]
    planned: dict[str, float]
    p_value: float
    ok: bool


class Decision(Domain):
    """`p_value` is None before the first look; `winner` only where the results name one."""

    outcome: Outcome
    sentence: str
    winner: str | None = None
    significant: bool = False
    p_value: float | None = None


def split_of(design: Design, arms: Sequence[ArmFigures]) -> Split:
    """The check for a sample ratio mismatch; chi-square says nothing before each arm should have had a few units."""
    seen = [arm.exposed for arm in arms]
    p_value, expected = split_p_value(seen, design.weights), least_expected(sum(seen), design.weights)
    return Split(
        seen={arm.name: arm.exposed for arm in arms},
        planned={arm.name: arm.weight / math.fsum(design.weights) for arm in design.arms},
        p_value=p_value,
        ok=p_value >= SRM_ALARM or expected < LEAST_EXPECTED,
    )


def rated(design: Design, arms: Sequence[ArmFigures]) -> list[int]:
    """Users an arm who have the success metric."""
    return [arm[design.success_metric].users for arm in arms]


def decide(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look], split: Split) -> Decision:
    """The split first; then whether there are enough users; then what the looks say."""
    if not split.ok:
        seen = ", ".join(f"{name} {n}" for name, n in split.seen.items())
        why = f"The users an arm ({seen}) do not fit the planned split (p = {split.p_value:.2g})"
        return Decision(outcome="blocked", sentence=f"{why}: find out why before you read anything else")
    fewest = min(rated(design, arms))
    if fewest < LEAST_RATED:
        words = METRICS[design.success_metric].words
        sentence = f"Fewer than {LEAST_RATED} users with {words} in an arm ({fewest}): no winner can be named"
        return Decision(outcome="too_few", sentence=sentence)
    if not looks:
        sentence = f"No look is due before {math.ceil(design.target_samples / LOOKS)} rated users an arm"
        return Decision(outcome="going_on", sentence=f"{sentence}: let it run")
    return _decide_by_looks(design, arms, looks)


def _decide_by_looks(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look]) -> Decision:
    corrected = _holm({arm.name: _p_value(arm.name, looks) for arm in arms[1:]})
    p_value = min(corrected.values())
    crossed = [name for name, p in corrected.items() if p < ALPHA]
    better = [name for name in crossed if _direction(name, looks) > 0]
    if better:
        return _shippable(arms, better, p_value)
    if crossed:
        sentence = f"{' and '.join(crossed)} is worse: keep {design.control.name}"
        won = design.control.name if len(crossed) == len(arms) - 1 else None
        return Decision(outcome="keep_control", sentence=sentence, winner=won, significant=True, p_value=p_value)
    if looks[-1].fraction >= 1.0:
        sentence = f"All planned users were seen and no difference was found: keep {design.control.name}"
        return Decision(outcome="no_difference", sentence=sentence, p_value=p_value)
    sentence = f"Look {len(looks)} found no difference yet (p = {p_value:.3g}): let it run"
    return Decision(outcome="going_on", sentence=sentence, p_value=p_value)


def _shippable(arms: Sequence[ArmFigures], better: Sequence[str], p_value: float) -> Decision:
    """The best of the better ones whose guardrails all hold."""
    found = {name: _obstacles(arms, name) for name in better}
    free = [name for name in better if not found[name]]
    if free:
        sentence = f"{free[0]} is better and no guardrail is worse: ship {free[0]}"
        return Decision(outcome="ship", sentence=sentence, winner=free[0], significant=True, p_value=p_value)
    sentence = f"{better[0]} is better, but {'; '.join(found[better[0]])}: do not ship it yet"
    return Decision(outcome="hold", sentence=sentence, significant=True, p_value=p_value)


def _obstacles(arms: Sequence[ArmFigures], name: str) -> list[str]:
    """Guardrails that are worse, or not shown to hold; one that nobody has data for is none."""
    arm = next(arm for arm in arms if arm.name == name)
    found = (compare(arms[0], arm, metric, LEAST_RATED) for metric, facts in METRICS.items() if facts.guards)
    says = {"worse": "are worse", "unproven": "are not shown to hold"}
    return [f"{METRICS[one.metric].words} {says[one.guard]}" for one in found if one and one.guard in says]


def _p_value(name: str, looks: Sequence[Look]) -> float:
    return repeated_p_value([look.fraction for look in looks], [look.statistics[name] for look in looks])


def _direction(name: str, looks: Sequence[Look]) -> float:
    """On which side the look lay that was furthest from zero beside its boundary."""
    limits = boundaries(tuple(look.fraction for look in looks), ALPHA)
    return max((look.statistics[name] / limit for look, limit in zip(looks, limits, strict=True)), key=abs)


def _holm(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's correction for several challengers, best first."""
    corrected, highest = {}, 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, p_value * (len(p_values) - rank)))
        corrected[name] = highest
    return corrected
