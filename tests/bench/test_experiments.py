"""The simulation uses the product's own rule, and keeps its promises in small."""

import numpy as np

from bench import experiments as bench
from core.arm_figures import ArmFigures, Sums
from core.confidence_sequence import one_sided_reach
from core.guardrails import STOPPING, breach


def test_what_is_simulated_at_once_stops_when_the_product_does() -> None:
    random = np.random.default_rng(4)
    for harm in (0.0, 0.35):
        values = {}
        for metric in STOPPING:
            amount = harm if metric == "latency" else 0.0
            values[metric] = [bench.draw(metric, (1, 400), random, by) for by in (0.0, amount)]
        for users in (60, 150, 400):
            seen = False
            for metric, (one, other) in values.items():
                difference, error = bench.looks(one[:, :users], other[:, :users])
                worse = -bench.METRICS[metric].sign * difference[0, -1]
                seen |= bool(worse > one_sided_reach(2 * users, error[0, -1], 0.05 / len(STOPPING)))
            arms = [
                ArmFigures(name, users, {m: Sums(pair[place][0, :users], np.ones(users)) for m, pair in values.items()})
                for place, name in enumerate("ab")
            ]
            assert (breach(arms) is not None) == seen
    assert seen


def test_small_simulations_come_to_the_same() -> None:
    same = bench.one_metric(0.0, tests=400)
    assert same["sequence"] <= 0.05 < same["peeking"]
    assert same["looks"] < same["peeking_looks"]
    assert bench.one_metric(bench.EFFECT, tests=300)["looks"] > 0.7


def test_forgetting_that_users_write_more_narrows_intervals_too_far() -> None:
    held = bench.coverage(tests=300)
    assert held["replies"] < 0.85 < held["delta"]
