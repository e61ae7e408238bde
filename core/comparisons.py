"""One metric of a challenger beside the control's, by every measure that suits it."""

import math
from typing import Literal, Self

import numpy as np
from scipy import special

from core.arm_figures import ArmFigures, Sums
from core.confidence_sequence import FIRST_LOOK, always_valid_p, reach
from core.domain import Domain
from core.experiments import METRICS
from core.two_means import Effect, Floats, hedges_g, mann_whitney, mean_of, welch
from core.two_shares import Share, newcombe, odds_ratio
from core.user_ratios import cuped, ratio_difference

LARGEST_Z = 37.0  # the last one whose p-value a float can hold

Guard = Literal["better", "holds", "unproven", "worse", "unknown"]


class Band(Domain):
    """An estimate with its two-sided 95 % interval."""

    estimate: float
    lower: float
    upper: float
    p_value: float | None = None

    @classmethod
    def of(cls, effect: Effect) -> Self | None:
        """None where the data do not give one."""
        if not np.isfinite([effect.estimate, effect.lower, effect.upper]).all():
            return None
        return cls(estimate=effect.estimate, lower=effect.lower, upper=effect.upper, p_value=effect.p_value)


class AnyOf(Domain):
    """Users to whom it happened at all (a thumb down, a failed reply …)."""

    control: float
    challenger: float
    difference: Band | None
    odds_ratio: Band | None


class Comparison(Domain):
    """Differences are challenger minus control, of user means; `always_valid` holds whenever one looks.

    `guard` says whether the challenger is worse by less than the metric's margin.
    """

    arm: str
    metric: str
    users: tuple[int, int]
    control: float
    challenger: float
    difference: Band
    always_valid: Band | None
    effect_size: Band | None
    superiority: float
    ranks_p_value: float
    per_reply: Band | None
    adjusted_for_past: Band | None
    any_of: AnyOf | None
    margin: float
    guard: Guard


def compare(control: ArmFigures, arm: ArmFigures, metric: str, least: int = 2) -> Comparison | None:
    """None where one of them has fewer than `least` users with this metric."""
    ours, theirs = control[metric], arm[metric]
    if min(ours.users, theirs.users) < max(least, 2):
        return None
    difference = welch(ours.means, theirs.means)
    ranks = mann_whitney(ours.means, theirs.means)
    margin = METRICS[metric].margin * (abs(float(ours.means.mean())) if METRICS[metric].relative else 1.0)
    shown = Band.of(difference)
    assert shown is not None  # noqa: S101 -- finite: two users or more on both sides
    return Comparison(
        arm=arm.name,
        metric=metric,
        users=(ours.users, theirs.users),
        control=float(ours.means.mean()),
        challenger=float(theirs.means.mean()),
        difference=shown,
        always_valid=_always_valid(difference, ours.users + theirs.users),
        effect_size=Band.of(hedges_g(ours.means, theirs.means)),
        superiority=ranks.superiority,
        ranks_p_value=ranks.p_value,
        per_reply=Band.of(ratio_difference((ours.sums, ours.counts), (theirs.sums, theirs.counts))),
        adjusted_for_past=_adjusted(ours, theirs),
        any_of=_any_of(ours, theirs, METRICS[metric].sign) if METRICS[metric].is_share else None,
        margin=margin,
        guard=_guard(_wide(ours, theirs, METRICS[metric].is_share), METRICS[metric].sign, margin),
    )


def better_z(control: Sums, arm: Sums, sign: int) -> float:
    """The z-value of a look: positive where the challenger is better.

    It has the p-value of Welch's t, so that boundaries for normal values hold for few users too.
    """
    found = welch(control.means, arm.means)
    if not found.estimate:
        return 0.0
    return math.copysign(min(LARGEST_Z, float(-special.ndtri(found.p_value / 2))), sign * found.estimate)


def _always_valid(difference: Effect, users: int) -> Band | None:
    if users < FIRST_LOOK:
        return None
    half = reach(users, difference.error)
    p_value = always_valid_p(difference.estimate, users, difference.error)
    estimate = difference.estimate
    return Band(estimate=estimate, lower=estimate - half, upper=estimate + half, p_value=p_value)


def _adjusted(ours: Sums, theirs: Sums) -> Band | None:
    if ours.past is None or theirs.past is None:
        return None
    return Band.of(welch(*cuped((ours.means, ours.past), (theirs.means, theirs.past))))


def _bad(side: Sums, sign: int) -> Floats:
    """How often a user met the unwanted case: a thumb down where thumbs up are counted."""
    return side.counts - side.sums if sign > 0 else side.sums


def _any_of(ours: Sums, theirs: Sums, sign: int) -> AnyOf:
    before, after = (Share(int((_bad(side, sign) > 0).sum()), side.users) for side in (ours, theirs))
    return AnyOf(
        control=before.value,
        challenger=after.value,
        difference=Band.of(newcombe(before, after)),
        odds_ratio=Band.of(odds_ratio(before, after)),
    )


def _wide(ours: Sums, theirs: Sums, is_share: bool) -> Effect:
    """The interval of 90 %. Where nobody ever saw a failure, its width is what so many replies can have missed."""
    found = welch(ours.means, theirs.means, alpha=0.1)
    if found.error or not is_share:
        return found
    before, after = (Share(int(side.sums.sum()), int(side.counts.sum())) for side in (ours, theirs))
    return newcombe(before, after, alpha=0.1)


def _guard(wide: Effect, sign: int, margin: float) -> Guard:
    """One-sided at 5 %, that is by the two-sided interval of 90 %."""
    if sign == 0:
        return "unknown"
    best, worst = (wide.upper, wide.lower) if sign > 0 else (-wide.lower, -wide.upper)
    if worst > 0:
        return "better"
    if best < 0:
        return "worse"
    return "holds" if worst > -margin else "unproven"


def mean_band(values: Floats) -> Band | None:
    """The mean of one arm with its interval; None for fewer than two users."""
    if len(values) < 2:
        return None
    found = mean_of(values)
    return Band(estimate=found.mean, lower=found.lower, upper=found.upper)
