"""The time that is left, over steps as real trainings on two cores took them: useful tokens and seconds each."""

from collections.abc import Sequence

import pytest

from core.pace import Pace

Steps = Sequence[tuple[int, float]]

# of the demo, of a larger dataset whose rows are of two lengths, and of the bench of the loop beside its chats
# fmt: off
DEMO = (
    (946, 2.35), (1075, 2.72), (1032, 2.48), (1075, 2.64), (1008, 2.39), (1020, 2.43), (1050, 2.98), (1020, 2.51),
    (1053, 2.6), (1017, 2.6), (1002, 2.55), (991, 2.59), (1130, 3.58), (1060, 2.74), (1062, 2.58), (1031, 2.82),
    (1083, 3.33), (1049, 2.9), (1052, 2.83), (1089, 2.93), (1064, 2.92), (1079, 2.66), (1037, 2.76), (1046, 2.66),
    (1073, 2.84), (1098, 2.95)
)
TWO_LENGTHS = (
    (1185, 3.84), (1198, 3.82), (949, 2.64), (989, 2.69), (1019, 2.95), (996, 2.96), (942, 2.67), (959, 2.56),
    (967, 2.7), (965, 2.73), (984, 2.66), (947, 2.75), (953, 2.71), (958, 2.88), (842, 2.77), (1222, 4.08),
    (1208, 3.91), (1178, 3.7), (1172, 3.74), (965, 2.74), (963, 2.7), (1000, 2.94), (920, 2.74), (957, 2.69),
    (980, 2.95), (972, 3.07), (941, 2.67), (1008, 3.17), (985, 3.56), (740, 2.62)
)
BENCH = (
    (1182, 5.55), (1231, 5.08), (1243, 5.33), (1241, 5.5), (1201, 4.72), (970, 3.38), (953, 3.75), (950, 3.58),
    (956, 3.65), (995, 3.6), (987, 3.58), (950, 3.54), (986, 4.04), (971, 3.55), (1215, 5.74), (1218, 4.99),
    (975, 3.89), (963, 3.34), (975, 3.29), (962, 3.74), (983, 3.31), (977, 3.75), (1013, 3.7), (959, 4.04),
    (1013, 3.84), (972, 3.8), (1014, 3.73), (996, 3.48), (939, 3.63)
)
# fmt: on
RECORDED = {"demo": DEMO, "two lengths": TWO_LENGTHS, "bench": BENCH}


def worst(steps: Steps, pace: Pace | None = None) -> float:
    """The largest share by which a promise was off, from the first tenth of the training on."""
    pace, off = pace or Pace(), []
    for at, (tokens, seconds) in enumerate(steps[:-1], start=1):
        pace.note(tokens, seconds)
        left = sum(seconds for _, seconds in steps[at:])
        promised = pace.seconds_for(sum(tokens for tokens, _ in steps[at:]))
        off += [abs(promised / left - 1)] if at >= len(steps) / 10 else []
    return max(off)


@pytest.mark.parametrize("name", RECORDED)
def test_after_a_tenth_the_end_is_known_to_a_fifth(name: str) -> None:
    assert worst(RECORDED[name]) <= 0.2


@pytest.mark.parametrize("name", RECORDED)
def test_a_slow_first_step_says_nothing_of_the_others(name: str) -> None:
    (tokens, seconds), *others = RECORDED[name]
    assert worst([(tokens, 12 * seconds), *others]) <= 0.2


@pytest.mark.parametrize("name", RECORDED)
def test_one_step_that_waited_says_nothing_of_the_others(name: str) -> None:
    steps = list(RECORDED[name])
    pace, waited = Pace(), (steps[8][0], 6 * steps[8][1])
    for tokens, seconds in [*steps[:8], waited]:
        pace.note(tokens, seconds)
    left, tokens_left = sum(seconds for _, seconds in steps[9:]), sum(tokens for tokens, _ in steps[9:])
    assert pace.seconds_for(tokens_left) == pytest.approx(left, rel=0.2)


def test_a_mean_over_all_steps_would_be_wrong_where_the_first_is_slow() -> None:
    """Guards the tests above: they can tell a poor promise from a good one."""

    class Mean(Pace):
        def __init__(self) -> None:
            self.tokens, self.seconds = 0, 0.0

        def note(self, tokens: int, seconds: float) -> None:
            self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds

        def seconds_for(self, tokens: int) -> float:
            return tokens * self.seconds / self.tokens

    (tokens, seconds), *others = DEMO
    assert worst([(tokens, 12 * seconds), *others], Mean()) > 0.2


def test_a_machine_that_becomes_half_as_fast_is_followed() -> None:
    pace = Pace()
    for seconds in [2.0] * 20 + [4.0] * 15:
        pace.note(1000, seconds)
    assert pace.seconds_for(10_000) == pytest.approx(40.0)


def test_before_the_first_step_and_after_the_last_nothing_is_left() -> None:
    pace = Pace()
    assert pace.seconds_for(1000) == 0.0
    pace.note(1000, 2.0)
    assert (pace.seconds_for(500), pace.seconds_for(0)) == (1.0, 0.0)
