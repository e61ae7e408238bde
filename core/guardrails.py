"""When an experiment stops by itself: a challenger is worse, at any moment one cares to look."""

from collections.abc import Sequence

from core.arm_figures import ArmFigures
from core.confidence_sequence import FIRST_LOOK, one_sided_reach
from core.domain import Domain
from core.experiments import LEAST_RATED, METRICS
from core.two_means import welch

ALPHA = 0.05
STOPPING = ("errors", "empty", "latency", "rating", "thumbs_up")
KILL_SHARE, KILL_REPLIES = 0.2, 50


class Harm(Domain):
    """How much worse the challenger's user means are; `at_least` holds whenever one looks (None: too few users)."""

    arm: str
    metric: str
    control: float
    challenger: float
    worse_by: float
    at_least: float | None
    users: int
    breached: bool
    sentence: str


def harms(arms: Sequence[ArmFigures], alpha: float = ALPHA) -> list[Harm]:
    """Each challenger against the first arm, by each guardrail.

    One-sided confidence sequences share alpha, so that a test without any harm is stopped in at most alpha of cases,
    however often it is looked at. Beside them, without statistics: a fifth of at least fifty replies failed.
    """
    control, *challengers = arms
    each = alpha / (len(STOPPING) * max(1, len(challengers)))
    found = [_harm(control, arm, metric, each) for arm in challengers for metric in STOPPING]
    return [harm for harm in found if harm is not None]


def breach(arms: Sequence[ArmFigures], alpha: float = ALPHA) -> Harm | None:
    """The first harm that stops the experiment."""
    return next((harm for harm in harms(arms, alpha) if harm.breached), None)


def _harm(control: ArmFigures, arm: ArmFigures, metric: str, alpha: float) -> Harm | None:
    ours, theirs = control[metric], arm[metric]
    if not (ours.users and theirs.users):
        return None
    worse = METRICS[metric].sign * float(ours.means.mean() - theirs.means.mean())
    users = ours.users + theirs.users
    at_least = None
    if users >= FIRST_LOOK and min(ours.users, theirs.users) >= LEAST_RATED:
        found = welch(theirs.means, ours.means)
        at_least = METRICS[metric].sign * found.estimate - one_sided_reach(users, found.error, alpha)
    killed = metric == "errors" and _fails(arm) and theirs.share > 2 * ours.share
    before, after = float(ours.means.mean()), float(theirs.means.mean())
    return Harm(
        arm=arm.name,
        metric=metric,
        control=before,
        challenger=after,
        worse_by=worse,
        at_least=at_least,
        users=users,
        breached=killed or (at_least is not None and at_least > 0),
        sentence=_sentence(control, arm, metric, at_least, killed),
    )


def _fails(arm: ArmFigures) -> bool:
    errors = arm["errors"]
    return bool(errors.counts.sum() >= KILL_REPLIES and errors.share > KILL_SHARE)


def _sentence(control: ArmFigures, arm: ArmFigures, metric: str, at_least: float | None, killed: bool) -> str:
    if killed:
        shares = f"{arm['errors'].share:.0%} of {arm['errors'].counts.sum():.0f} replies of arm {arm.name} failed"
        return f"{shares}, {control['errors'].share:.0%} of arm {control.name}"
    means = f"{METRICS[metric].words}: {arm[metric].means.mean():.3g} in arm {arm.name}"
    means += f" against {control[metric].means.mean():.3g} in arm {control.name}"
    if at_least is None:
        return f"{means}; too few users to say more"
    return f"{means}; worse by at least {at_least:.3g}" if at_least > 0 else f"{means}; not enough to stop it"
