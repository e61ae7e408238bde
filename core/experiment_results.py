"""What an experiment says so far: the split, the arms, the metrics, the looks, and the decision that follows."""

import math
from collections.abc import Sequence
from datetime import datetime

from core.arm_figures import ArmFigures
from core.comparisons import Comparison, better_z, compare, mean_band
from core.domain import Domain
from core.experiment_decision import ALPHA, LOOKS, Outcome, Split, decide, rated, split_of
from core.experiments import LEAST_DAYS, LEAST_RATED, METRICS, Design, Look, Window
from core.group_sequential import boundaries
from core.guardrails import Harm, harms
from core.sample_size import power_of_means, users_for_means


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
    decision = decide(design, arms, looks, split)
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


def progress(design: Design, arms: Sequence[ArmFigures]) -> float:
    """The share of the planned users that the slowest arm has."""
    return min(arm[design.success_metric].users for arm in arms) / design.target_samples


def due_look(design: Design, arms: Sequence[ArmFigures], looks: Sequence[Look], at: datetime) -> Look | None:
    """The look to take now, if one of the planned shares has been reached since the last; none below the floor."""
    fraction = min(1.0, progress(design, arms))
    last = looks[-1].fraction if looks else 0.0
    if int(fraction * LOOKS) <= int(last * LOOKS) or min(rated(design, arms)) < LEAST_RATED:
        return None
    metric, sign = design.success_metric, METRICS[design.success_metric].sign
    statistics = {arm.name: better_z(arms[0][metric], arm[metric], sign) for arm in arms[1:]}
    return Look(at=at, fraction=fraction, statistics=statistics)


def needs_more(design: Design, arms: Sequence[ArmFigures], window: Window) -> NeedsMore:
    """At the spread seen in the control, and at the pace so far."""
    control, fewest = arms[0][design.success_metric], min(rated(design, arms))
    if control.users < 2:
        return NeedsMore(users=None, days=None, power_now=None, sentence="Not enough users to say how many are needed")
    effect, deviation = _smallest(design, arms), float(control.means.std(ddof=1))
    wanted = users_for_means(effect, deviation, ALPHA) if deviation else LEAST_RATED
    power = power_of_means(effect / deviation, fewest, fewest, ALPHA) if deviation and fewest > 1 else None
    power = power if power is not None and math.isfinite(power) else None
    if wanted is None:
        return NeedsMore(users=None, days=None, power_now=power, sentence="No number of users would be enough")
    missing = max(0, max(wanted, LEAST_RATED) - fewest)
    pace = fewest / window.days if window.days > 0 else 0.0
    days = missing / pace if pace else None
    return NeedsMore(users=missing, days=days, power_now=power, sentence=_wanted(missing, days, effect, design))


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
