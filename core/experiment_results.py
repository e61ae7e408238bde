"""What an experiment says so far: the split first, then the metrics, then the one decision that follows.

Ship only if the success metric is better, no guardrail is worse and each is shown to hold (Schultzberg, Ankargren,
Frånberg, "Risk-aware product decisions in A/B tests with multiple metrics", 2024): the error rate of the decision
lies on the success metric alone, which is looked at a few planned times.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from core.arm_figures import ArmFigures
from core.comparisons import Comparison, better_z, compare, mean_band
from core.domain import Domain
from core.experiments import LEAST_DAYS, LEAST_RATED, METRICS, Design, Look, Window
from core.group_sequential import boundaries, repeated_p_value
from core.guardrails import Harm, harms
from core.sample_size import power_of_means, users_for_means
from core.two_shares import SRM_ALARM, split_p_value

ALPHA = 0.05
LOOKS = 5

Outcome = Literal["blocked", "too_few", "going_on", "ship", "hold", "keep_control", "no_difference"]


class Split(Domain):
    """Exposed users an arm against the planned shares; not `ok` blocks every conclusion."""

    seen: dict[str, int]
    planned: dict[str, float]
    p_value: float
    ok: bool


class Variant(Domain):
    """One arm by itself; `samples` are exposed users, `rated` those who have the success metric."""

    name: str
    model: str
    samples: int
    rated: int
    avg_rating: float | None
    confidence_interval: dict[str, float] | None
    metrics: dict[str, float]


class NeedsMore(Domain):
    """`users` an arm until the smallest difference worth finding is found in 80 % of cases; None: not known yet."""

    users: int | None
    days: float | None
    power_now: float | None
    sentence: str


class PlannedLooks(Domain):
    """The looks taken, the boundary each had to cross, and how far the planned users have come."""

    taken: tuple[Look, ...]
    boundaries: tuple[float, ...]
    fraction: float
    planned: int


class Results(Domain):
    """`p_value` belongs to the looks taken and survives them; it is None before the first."""

    split: Split
    variants: tuple[Variant, ...]
    is_significant: bool
    p_value: float | None
    winner: str | None
    outcome: Outcome
    recommendation: str
    looks: PlannedLooks
    needs_more: NeedsMore
    comparisons: tuple[Comparison, ...]
    guardrails: tuple[Harm, ...]
    days: float


def results(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look], window: Window) -> Results:
    """Everything at once, from the figures of the arms in the order of the design."""
    split = split_of(design, arms)
    decision = _decide(design, arms, looks, split)
    blocked = decision.outcome == "blocked"
    return Results(
        split=split,
        variants=tuple(_variant(design, arm) for arm in arms),
        is_significant=decision.significant,
        p_value=decision.p_value,
        winner=decision.winner,
        outcome=decision.outcome,
        recommendation=decision.sentence + _patience(decision.outcome, window),
        looks=_looks(design, arms, looks),
        needs_more=needs_more(design, arms, window),
        # a broken split makes every difference suspect, so that none is shown
        comparisons=() if blocked else tuple(_comparisons(arms)),
        guardrails=tuple(harms(arms)),
        days=round(window.days, 2),
    )


def split_of(design: Design, arms: Sequence[ArmFigures]) -> Split:
    """The check for a sample ratio mismatch."""
    p_value = split_p_value([arm.exposed for arm in arms], design.weights)
    return Split(
        seen={arm.name: arm.exposed for arm in arms},
        planned={arm.name: arm.weight / math.fsum(design.weights) for arm in design.arms},
        p_value=p_value,
        ok=p_value >= SRM_ALARM,
    )


def progress(design: Design, arms: Sequence[ArmFigures]) -> float:
    """The share of the planned users that the slowest arm has."""
    return min(arm[design.success_metric].users for arm in arms) / design.target_samples


def due_look(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look], at: datetime) -> Look | None:
    """The look to take now, if one of the planned shares has been reached since the last; none below the floor."""
    fraction = min(1.0, progress(design, arms))
    last = looks[-1].fraction if looks else 0.0
    if int(fraction * LOOKS) <= int(last * LOOKS) or min(_rated(design, arms)) < LEAST_RATED:
        return None
    metric, sign = design.success_metric, METRICS[design.success_metric].sign
    statistics = {arm.name: better_z(arms[0][metric], arm[metric], sign) for arm in arms[1:]}
    return Look(at=at, fraction=fraction, statistics=statistics)


def needs_more(design: Design, arms: Sequence[ArmFigures], window: Window) -> NeedsMore:
    """At the spread seen in the control, and at the pace so far."""
    control, rated = arms[0][design.success_metric], min(_rated(design, arms))
    if control.users < 2:
        return NeedsMore(users=None, days=None, power_now=None, sentence="Not enough users to say how many are needed")
    effect, deviation = _smallest(design, arms), float(control.means.std(ddof=1))
    wanted = users_for_means(effect, deviation, ALPHA) if deviation else LEAST_RATED
    power = power_of_means(effect / deviation, rated, rated, ALPHA) if deviation and rated > 1 else None
    if wanted is None:
        return NeedsMore(users=None, days=None, power_now=power, sentence="No number of users would be enough")
    missing = max(0, max(wanted, LEAST_RATED) - rated)
    pace = rated / window.days if window.days > 0 else 0.0
    days = missing / pace if pace else None
    return NeedsMore(users=missing, days=days, power_now=power, sentence=_wanted(missing, days, effect, design))


class _Decision(Domain):
    outcome: Outcome
    sentence: str
    winner: str | None = None
    significant: bool = False
    p_value: float | None = None


def _decide(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look], split: Split) -> _Decision:
    if not split.ok:
        seen = ", ".join(f"{name} {n}" for name, n in split.seen.items())
        why = f"The users an arm ({seen}) do not fit the planned split (p = {split.p_value:.2g})"
        return _Decision(outcome="blocked", sentence=f"{why}: find out why before you read anything else")
    fewest = min(_rated(design, arms))
    if fewest < LEAST_RATED:
        words = METRICS[design.success_metric].words
        sentence = f"Fewer than {LEAST_RATED} users with {words} in an arm ({fewest}): no winner can be named"
        return _Decision(outcome="too_few", sentence=sentence)
    if not looks:
        sentence = f"No look is due before {math.ceil(design.target_samples / LOOKS)} rated users an arm"
        return _Decision(outcome="going_on", sentence=f"{sentence}: let it run")
    return _decide_by_looks(design, arms, looks)


def _decide_by_looks(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look]) -> _Decision:
    corrected = _holm({arm.name: _p_value(arm.name, looks) for arm in arms[1:]})
    p_value = min(corrected.values())
    crossed = [name for name, p in corrected.items() if p < ALPHA]
    better = [name for name in crossed if _direction(name, looks) > 0]
    if better:
        return _shippable(arms, better, p_value)
    if crossed:
        sentence = f"{' and '.join(crossed)} is worse: keep {design.control.name}"
        won = design.control.name if len(crossed) == len(arms) - 1 else None
        return _Decision(outcome="keep_control", sentence=sentence, winner=won, significant=True, p_value=p_value)
    if looks[-1].fraction >= 1.0:
        sentence = f"All planned users were seen and no difference was found: keep {design.control.name}"
        return _Decision(outcome="no_difference", sentence=sentence, p_value=p_value)
    sentence = f"Look {len(looks)} found no difference yet (p = {p_value:.3g}): let it run"
    return _Decision(outcome="going_on", sentence=sentence, p_value=p_value)


def _shippable(arms: Sequence[ArmFigures], better: Sequence[str], p_value: float) -> _Decision:
    """The best of the better ones whose guardrails all hold."""
    found = {name: _obstacles(arms, name) for name in better}
    free = [name for name in better if not found[name]]
    if free:
        sentence = f"{free[0]} is better and no guardrail is worse: ship {free[0]}"
        return _Decision(outcome="ship", sentence=sentence, winner=free[0], significant=True, p_value=p_value)
    sentence = f"{better[0]} is better, but {'; '.join(found[better[0]])}: do not ship it yet"
    return _Decision(outcome="hold", sentence=sentence, significant=True, p_value=p_value)


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


def _variant(design: Design, arm: ArmFigures) -> Variant:
    rating = mean_band(arm["rating"].means)
    interval = {"lower": rating.lower, "upper": rating.upper, "mean": rating.estimate} if rating else None
    planned = design.arm(arm.name)
    return Variant(
        name=arm.name,
        model=planned.model if planned else "",
        samples=arm.exposed,
        rated=arm[design.success_metric].users,
        avg_rating=float(arm["rating"].means.mean()) if arm["rating"].users else None,
        confidence_interval=interval,
        metrics={name: float(sums.means.mean()) for name, sums in arm.metrics.items() if sums.users},
    )


def _comparisons(arms: Sequence[ArmFigures]) -> list[Comparison]:
    found = [compare(arms[0], arm, metric, LEAST_RATED) for arm in arms[1:] for metric in METRICS]
    return [one for one in found if one is not None]


def _looks(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look]) -> PlannedLooks:
    limits = boundaries(tuple(look.fraction for look in looks), ALPHA)
    return PlannedLooks(taken=tuple(looks), boundaries=limits, fraction=progress(design, arms), planned=LOOKS)


def _rated(design: Design, arms: Sequence[ArmFigures]) -> list[int]:
    return [arm[design.success_metric].users for arm in arms]


def _smallest(design: Design, arms: Sequence[ArmFigures]) -> float:
    relative = METRICS[design.success_metric].relative
    return design.smallest_effect * (abs(float(arms[0][design.success_metric].means.mean())) if relative else 1.0)


def _wanted(missing: int, days: float | None, effect: float, design: Design) -> str:
    aim = f"to find a difference of {effect:.3g} in {METRICS[design.success_metric].words}"
    if not missing:
        return f"There are enough users {aim}"
    when = f", about {_counted(math.ceil(days), 'day')}" if days is not None else ""
    return f"Needs {_counted(missing, 'more rated user')} an arm{when}, {aim}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _patience(outcome: Outcome, window: Window) -> str:
    if outcome != "ship" or window.days >= LEAST_DAYS:
        return ""
    return f"; it has run {window.days:.1f} days, and a week shows what weekdays hide"
