"""What experiments promise, by simulation: false stops under continuous looking, coverage, power; beside plain t-tests.

`.venv/bin/python -m bench.experiments` simulates 10,000 tests of each kind with the product's own formulas.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.report import Figure, Report, Target
from core.confidence_sequence import FIRST_LOOK, one_sided_reach, reach
from core.experiment_decision import ALPHA, LOOKS
from core.experiments import LEAST_RATED, METRICS
from core.group_sequential import boundaries
from core.guardrails import STOPPING
from core.sample_size import users_for_means
from core.two_means import welch
from core.two_shares import SRM_ALARM, Share, newcombe, split_p_value
from core.user_ratios import ratio_difference
from resources.settings import ROOT

Floats = NDArray[np.float64]

TESTS, AT_ONCE, SEED = 10_000, 250, 20260101
USERS = 2000  # an arm
EFFECT = 0.2
NORMAL = 1.959964
AT_MOST_ALPHA, COVERS = Target(at_most=5), Target(at_least=94)  # percent, as all shares here
ABOUT_ALPHA = Target(at_most=5.5)  # planned looks spend all of alpha, and 10,000 tests tell it to half a percent
NEAR_PLANNED = Target(at_least=77, at_most=85)


@dataclass
class Stops:
    """Of the tests so far: how many the sequences stopped, how many t-tests would have, and after how many users."""

    tests: int = 0
    sequence: int = 0
    peeking: int = 0
    users: list[int] | None = None


def draw(metric: str, shape: tuple[int, int], random: np.random.Generator, harm: float = 0.0) -> Floats:
    """User means of one guardrail: skewed seconds, rare failures, ratings in steps, thumbs."""
    if metric == "rating":
        return np.clip(np.rint(random.normal(3.6 - harm, 1.1, shape)), 1, 5)
    if metric == "latency":
        return random.lognormal(0.0, 0.7, shape) * (1 + harm)
    rate = {"errors": 0.01 + harm / 10, "empty": 0.005, "thumbs_up": 0.7}[metric]
    return random.binomial(5, rate, shape) / 5


def running(values: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of each test after each of its users."""
    counts = np.arange(1, values.shape[1] + 1)
    means = np.cumsum(values, axis=1) / counts
    squares = np.cumsum(np.square(values), axis=1)
    return means, np.maximum(squares - counts * np.square(means), 0) / np.maximum(counts - 1, 1)


def looks(control: Floats, challenger: Floats) -> tuple[Floats, Floats]:
    """Difference and its standard error after each pair of users."""
    (mean1, var1), (mean2, var2) = running(control), running(challenger)
    return mean2 - mean1, np.sqrt((var1 + var2) / np.arange(1, control.shape[1] + 1))


def guardrail_stops(harmed: str | None, harm: float, tests: int = TESTS, seed: int = SEED) -> Stops:
    """All guardrails of an experiment at once, looked at after every pair of users."""
    random, found = np.random.default_rng(seed), Stops(users=[])
    first = max(FIRST_LOOK // 2, LEAST_RATED)
    units = np.array([one_sided_reach(2 * k, 1.0, ALPHA / len(STOPPING)) for k in range(1, USERS + 1)])
    for size in portions(tests):
        stopped, peeked = np.zeros((size, USERS), bool), np.zeros((size, USERS), bool)
        for metric in STOPPING:
            amount = harm if metric == harmed else 0.0
            one, other = (draw(metric, (size, USERS), random, by) for by in (0.0, amount))
            difference, error = looks(one, other)
            worse = -METRICS[metric].sign * difference
            stopped |= worse > units * error
            peeked |= worse > 1.644854 * error
        ever = stopped[:, first - 1 :]
        found.tests += size
        found.sequence += int(ever.any(axis=1).sum())
        found.peeking += int(peeked[:, first - 1 :].any(axis=1).sum())
        found.users = [*(found.users or []), *(2 * (first + ever.argmax(axis=1)[ever.any(axis=1)]))]
    return found


def one_metric(effect: float, tests: int = TESTS, seed: int = SEED + 1) -> dict[str, float]:
    """The success metric alone: shares of tests that were declared, and of intervals that held at every moment."""
    random, planned = np.random.default_rng(seed), users_for_means(EFFECT, 1.0) or 0
    shares = [round(planned * (look + 1) / LOOKS) for look in range(LOOKS)]
    limits = boundaries(tuple(share / planned for share in shares), ALPHA)
    units = np.array([reach(2 * k, 1.0, ALPHA) for k in range(1, planned + 1)])
    counts = dict.fromkeys(("looks", "peeking_looks", "fixed", "peeking", "sequence", "held", "wrong_side"), 0)
    for size in portions(tests):
        control, challenger = random.normal(0, 1, (size, planned)), random.normal(effect, 1, (size, planned))
        difference, error = looks(control, challenger)
        z = difference[:, 1:] / error[:, 1:]
        at = scores(z[:, [share - 2 for share in shares]], 2 * np.array(shares) - 2)
        first = FIRST_LOOK // 2
        outside = np.abs(difference - effect) > units * error
        crossed = np.abs(at) > limits
        counts["looks"] += int(crossed.any(axis=1).sum())
        counts["wrong_side"] += int((at < -np.array(limits)).any(axis=1).sum())
        counts["peeking_looks"] += int((np.abs(at) > NORMAL).any(axis=1).sum())
        counts["fixed"] += int((np.abs(at[:, -1]) > NORMAL).sum())
        counts["peeking"] += int((np.abs(z[:, first - 2 :]) > NORMAL).any(axis=1).sum())
        counts["sequence"] += int((np.abs(difference) > units * error)[:, first - 1 :].any(axis=1).sum())
        counts["held"] += int((~outside[:, first - 1 :].any(axis=1)).sum())
    return {name: count / tests for name, count in counts.items()}


def scores(t: Floats, freedom: Floats) -> Floats:
    """Normal values with the p-values of these t-values, as a look takes them."""
    normal: Floats = -special.ndtri(special.stdtr(freedom, -np.abs(t))) * np.sign(t)
    return normal


def coverage(tests: int = TESTS, seed: int = SEED + 2) -> dict[str, float]:
    """How often the product's 95 % intervals hold the truth, and those of one who forgets that users write more."""
    random, held = np.random.default_rng(seed), dict.fromkeys(("welch", "newcombe", "delta", "replies"), 0)
    for _ in range(tests):
        skewed = random.lognormal(0, 0.7, 60), random.lognormal(0, 0.7, 45)
        found = welch(*skewed)
        held["welch"] += found.lower <= 0 <= found.upper
        shares = Share(int(random.binomial(80, 0.1)), 80), Share(int(random.binomial(60, 0.15)), 60)
        between = newcombe(*shares)
        held["newcombe"] += between.lower <= 0.05 <= between.upper
        arms = [thumbs(random, 150) for _ in range(2)]
        ratio = ratio_difference(*arms)
        held["delta"] += ratio.lower <= 0 <= ratio.upper
        p = [float(sums.sum() / counts.sum()) for sums, counts in arms]
        error = np.sqrt(sum(q * (1 - q) / counts.sum() for q, (_, counts) in zip(p, arms, strict=True)))
        held["replies"] += abs(p[1] - p[0]) <= NORMAL * error
    return {name: count / tests for name, count in held.items()}


def thumbs(random: np.random.Generator, users: int) -> tuple[Floats, Floats]:
    """Thumbs up and all thumbs a user; some like everything, and some say a lot."""
    counts = random.geometric(0.2, users).astype(np.float64)
    return random.binomial(counts.astype(int), random.beta(1.2, 0.8, users)).astype(np.float64), counts


def split_alarms(lost: float, tests: int = TESTS, seed: int = SEED + 3) -> float:
    """How often the check of the split rings, where one arm loses a share of its users."""
    random = np.random.default_rng(seed)
    seen = random.binomial(5000, 0.5 * (1 - lost) / (1 - lost / 2), tests)
    return float(np.mean([split_p_value([n, 5000 - n], [0.5, 0.5]) < SRM_ALARM for n in seen.tolist()]))


def portions(tests: int) -> Iterator[int]:
    for start in range(0, tests, AT_ONCE):
        yield min(AT_ONCE, tests - start)


def share(name: str, ours: float, target: Target, other: float | None = None, other_name: str = "") -> Figure:
    """A figure in percent."""
    return Figure(name, 100 * ours, "%", None if other is None else 100 * other, other_name, target)


def figures(tests: int = TESTS) -> list[Figure]:
    calm, slow = guardrail_stops(None, 0.0, tests), guardrail_stops("latency", 0.4, tests, SEED + 4)
    same, better, held = one_metric(0.0, tests), one_metric(EFFECT, tests), coverage(tests)
    peeks, naive = "t-tests that peek", "intervals over replies"
    five, declared = "A/A: stopped by five guardrails, a look a user", "A/A: declared"
    return [
        share(five, calm.sequence / calm.tests, AT_MOST_ALPHA, calm.peeking / calm.tests, peeks),
        share(f"{declared} by one sequence, a look a user", same["sequence"], AT_MOST_ALPHA, same["peeking"], peeks),
        share(f"{declared} at one of five looks", same["looks"], ABOUT_ALPHA, same["peeking_looks"], peeks),
        share("A/B: the truth inside at every look", better["held"], COVERS, 1 - same["peeking"], peeks),
        share("95 % interval of skewed means (Welch)", held["welch"], COVERS),
        share("95 % interval of shares (Newcombe)", held["newcombe"], COVERS),
        share("95 % interval of a rate a reply (delta)", held["delta"], COVERS, held["replies"], naive),
        share("A/B: power of five looks, 80 % planned", better["looks"], NEAR_PLANNED, better["fixed"], "one look"),
        share("A/B: declared the worse arm better", better["wrong_side"], Target(at_most=0.1)),
        share("replies 40 % slower: stopped", slow.sequence / slow.tests, Target(at_least=95)),
        Figure("replies 40 % slower: stopped after", float(np.median(slow.users or [0])), "users"),
        share("split as planned: alarms", split_alarms(0.0, tests), Target(at_most=0.2)),
        share("one arm loses 10 % of its users: alarms", split_alarms(0.1, tests), Target(at_least=60)),
    ]


def main() -> int:
    return Report("experiments", figures(), {"tests": TESTS, "users_an_arm": USERS, "seed": SEED}).finish()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
