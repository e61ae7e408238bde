from hypothesis import given, settings
from hypothesis import strategies as st

from core.sides import Side, assign_sides, held_out_share, side_of_new_unit, unit_of
from tests.core.examples import conversation

NAMES = st.lists(st.sampled_from([f"user:{n}" for n in range(30)]), max_size=120)


def ids(units: list[str]) -> list[tuple[str, str]]:
    return [(f"c{number}", unit) for number, unit in enumerate(units)]


def test_the_share_falls_with_the_rank() -> None:
    assert [held_out_share(rank) for rank in (0, 199, 200, 999, 1_000, 10**6)] == [0.3, 0.3, 0.15, 0.15, 0.1, 0.1]


def test_sides_are_the_same_on_every_machine() -> None:
    # printf 'sides-v1:user:0' | sha256sum begins 4964 = 0.2867 of the range; user:홍길동 begins 5b49 = 0.3566
    assert side_of_new_unit("user:0", 0) == "held_out"
    assert side_of_new_unit("user:0", 200) == "train"
    assert side_of_new_unit("user:홍길동", 0) == "train"


def test_the_shares_come_true_over_many_units() -> None:
    for rank, share in ((0, 0.30), (500, 0.15), (5_000, 0.10)):
        held = sum(side_of_new_unit(f"user:{n}", rank) == "held_out" for n in range(20_000)) / 20_000
        assert abs(held - share) < 0.012  # four standard errors at most


def test_a_unit_held_out_at_a_low_share_is_held_out_at_every_higher_one() -> None:
    for n in range(500):
        sides = [side_of_new_unit(f"user:{n}", rank) for rank in (5_000, 500, 0)]
        assert sides == sorted(sides, reverse=True)  # train sorts after held_out


@settings(max_examples=50)
@given(NAMES, st.integers(0, 1_500), st.integers(0, 120))
def test_sides_never_move_and_batches_make_no_difference(units: list[str], seen: int, cut: int) -> None:
    together = assign_sides(ids(units), {}, seen)
    first = assign_sides(ids(units)[:cut], {}, seen)
    second = assign_sides(ids(units)[cut:], first.units, seen + len(units[:cut]))
    assert {**first.sides, **second.sides} == together.sides
    assert {**first.units, **second.units} == together.units
    assert not set(first.units) & set(second.units)
    for conversation_id, unit in ids(units):
        assert together.sides[conversation_id] == together.units[unit]


def test_the_rank_of_the_first_conversation_decides_a_new_unit() -> None:
    unit = next(
        f"user:{n}" for n in range(1_000) if side_of_new_unit(f"user:{n}", 0) != side_of_new_unit(f"user:{n}", 999)
    )
    assert assign_sides([("a", unit), ("b", unit)], {}, 199).sides == {"a": "held_out", "b": "held_out"}
    assert assign_sides([("a", unit), ("b", unit)], {}, 200).sides == {"a": "train", "b": "train"}


def test_a_stored_side_wins_over_the_hash() -> None:
    for side in ("train", "held_out"):
        placed = assign_sides([("a", "user:0")], {"user:0": side}, 0)
        assert placed.sides == {"a": side}
        assert placed.units == {}


def test_a_conversation_that_would_join_both_sides_is_quarantined() -> None:
    units: dict[str, Side] = {"user:a": "train", "user:b": "held_out"}
    placed = assign_sides(
        [("a1", "user:a"), ("b1", "user:b"), ("b2", "user:b")], units, 0, hashes={"a1": "x", "b1": "x", "b2": "y"}
    )
    assert placed.sides == {"a1": "train", "b2": "held_out"}
    assert placed.quarantined == ("b1",)
    earlier = assign_sides([("b1", "user:b")], units, 0, hashes={"b1": "x"}, hash_sides={"x": "train"})
    assert earlier.quarantined == ("b1",)


def test_the_unit_is_the_user_once_there_are_ten() -> None:
    c = conversation(user_id="kim", thread_id="t")
    assert unit_of(c, users=9) == "thread:t"
    assert unit_of(c, users=10) == "user:kim"
    assert unit_of(conversation(thread_id="t"), users=10) == "thread:t"
    assert unit_of(conversation(id="c9"), users=10) == "thread:c9"


def test_a_stored_unit_keeps_its_kind() -> None:
    c = conversation(user_id="kim", thread_id="t")
    assert unit_of(c, users=50, known={"thread:t": "train"}) == "thread:t"
    assert unit_of(c, users=2, known={"user:kim": "train"}) == "user:kim"
