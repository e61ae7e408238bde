"""Everybody keeps their arm: over restarts, ramps and machines."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from core.assignment import Range, arm_of, bucket, ranges, unit_of
from core.two_shares import split_p_value

weight_lists = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8)
shares = st.floats(0.0, 1.0)


def test_a_bucket_is_the_start_of_sha256_over_utf8() -> None:
    # printf 'exp-1:user:홍길동' | sha256sum, its first 53 bits over 2^53
    assert bucket("exp-1", "user:홍길동") == 0.9846806247307398
    assert bucket("exp-1", "user:a") != bucket("exp-2", "user:a")


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_bucket_lies_below_one(salt: str, unit: str) -> None:
    salt, unit = (text.encode("utf-8", "replace").decode() for text in (salt, unit))
    assert 0.0 <= bucket(salt, unit) < 1.0


@given(weight_lists)
def test_full_coverage_leaves_no_gap_and_no_overlap(weights: list[float]) -> None:
    spans = ranges(weights)
    assert spans[0].start == 0.0
    assert spans[-1].end == 1.0
    assert all(left.end == right.start for left, right in pairwise(spans))


def test_ranges_are_half_open() -> None:
    assert ranges([0.5, 0.5]) == (Range(0.0, 0.5), Range(0.5, 1.0))
    assert 0.5 not in Range(0.0, 0.5)
    assert 0.5 in Range(0.5, 1.0)
    assert 1.0 not in Range(0.5, 1.0)


def test_coverage_keeps_the_starts() -> None:
    assert ranges([0.5, 0.5], 0.5) == (Range(0.0, 0.25), Range(0.5, 0.75))
    assert arm_of("s", "user:1", [0.5, 0.5], 0.0) is None


@settings(max_examples=300)
@given(st.integers(), weight_lists, shares, shares)
def test_a_ramp_moves_nobody_between_arms(number: int, weights: list[float], one: float, other: float) -> None:
    less, more = sorted((one, other))
    before = arm_of("salt", f"user:{number}", weights, less)
    if before is not None:
        assert arm_of("salt", f"user:{number}", weights, more) == before
        assert arm_of("salt", f"user:{number}", weights) == before


@given(weight_lists, shares)
def test_at_full_coverage_everybody_has_an_arm(weights: list[float], number: float) -> None:
    assert arm_of("salt", f"user:{number}", weights) is not None


def test_the_split_is_the_planned_one() -> None:
    weights = [0.7, 0.2, 0.1]
    seen = [0, 0, 0]
    for number in range(20_000):
        seen[arm_of("a salt", f"user:{number}", weights) or 0] += 1
    assert split_p_value(seen, weights) > 0.001


def test_two_experiments_split_independently() -> None:
    both = [0, 0, 0, 0]
    for number in range(20_000):
        first, second = (arm_of(salt, f"user:{number}", [0.5, 0.5]) or 0 for salt in ("one", "two"))
        both[2 * first + second] += 1
    assert split_p_value(both, [0.25] * 4) > 0.001


def test_the_user_counts_before_the_session_and_the_conversation() -> None:
    assert unit_of("u", "s", "c") == "user:u"
    assert unit_of(None, "s", "c") == "session:s"
    assert unit_of(None, None, "c") == "conversation:c"
    assert unit_of(None, "", None) is None
