from hypothesis import given, settings
from hypothesis import strategies as st

from core.conversation import Conversation
from core.sides import VALIDATION_SHARE, Placing, Side, held_out_share, other_units, side_of_new_unit, unit_of
from tests.core.examples import conversation

NAMES = st.lists(st.sampled_from([f"user:{n}" for n in range(30)]), max_size=120)


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
    together = Placing({}, {}, seen)
    sides = [together.place(unit) for unit in units]
    first = Placing({}, {}, seen)
    before = [first.place(unit) for unit in units[:cut]]
    second = Placing(first.units, {}, first.rank)
    assert before + [second.place(unit) for unit in units[cut:]] == sides
    assert {**first.new_units, **second.new_units} == together.new_units
    assert not set(first.new_units) & set(second.new_units)
    assert sides == [together.units[unit] for unit in units]


def test_a_tenth_of_what_is_not_held_out_is_validation_at_every_rank() -> None:
    for rank in (0, 5_000):
        sides = [side_of_new_unit(f"user:{n}", rank) for n in range(20_000)]
        rest = [side for side in sides if side != "held_out"]
        assert abs(rest.count("validation") / len(rest) - VALIDATION_SHARE) < 0.01


def test_the_rank_of_the_first_conversation_decides_a_new_unit() -> None:
    unit = next(f"user:{n}" for n in range(1_000) if side_of_new_unit(f"user:{n}", 0) == "held_out"
                and side_of_new_unit(f"user:{n}", 999) == "train")  # fmt: skip
    early, late = Placing({}, {}, 199), Placing({}, {}, 200)
    assert [early.place(unit), early.place(unit)] == ["held_out", "held_out"]
    assert [late.place(unit), late.place(unit)] == ["train", "train"]


def test_a_stored_side_wins_over_the_hash() -> None:
    sides: tuple[Side, ...] = ("train", "validation", "held_out")
    for side in sides:
        known = Placing({"user:0": side}, {}, 0)
        assert known.place("user:0") == side
        assert known.new_units == {}
        assert Placing({}, {}, 0).place("user:0", stored=side) == side


def test_a_new_unit_takes_the_side_of_the_cluster_it_joins() -> None:
    placing = Placing({}, {7: "validation"}, 5_000)
    assert placing.place("user:a", [7]) == "validation"
    assert placing.place("user:a") == "validation"
    assert placing.new_units == {"user:a": "validation"}


def test_a_conversation_that_would_join_two_sides_is_kept_out() -> None:
    placing = Placing({"user:a": "train", "user:b": "held_out"}, {}, 0)
    assert placing.place("user:a", [1]) == "train"
    assert placing.place("user:b", [1]) is None, "its near-duplicate lies with the other user"
    assert placing.place("user:b", [2]) == "held_out"
    assert placing.place("user:c", [1, 2]) is None, "it is near both"
    assert placing.place("user:d", [3], stored="train") == "train"
    assert placing.place("user:b", [4], stored="train") is None
    assert "user:c" not in placing.new_units
    assert placing.rank == 3, "only what has a side counts"


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
    assert unit_of(c, users=50, known={"thread:t": "train", "user:kim": "train"}) == "user:kim"


def test_a_thread_of_several_users_and_of_nobody_in_particular_lies_on_one_side() -> None:
    kim, lee, nobody = (conversation(user_id=user, thread_id="t") for user in ("kim", "lee", None))
    placing = Placing({"user:lee": "held_out"}, {}, 0)

    def place(c: Conversation, stored: Side | None = None) -> Side | None:
        unit = unit_of(c, 50, placing.units)
        return placing.place(unit, stored=stored, others=other_units(c, unit, 50))

    assert place(kim, stored="train") == "train"
    assert place(nobody) == "train"
    assert place(lee) is None, "his own conversations are held out"
    assert place(conversation(user_id="park", thread_id="t")) == "train"
    assert place(conversation(user_id="park", thread_id="t2")) == "train", "a user follows the thread"
    assert other_units(kim, "thread:t", 9) == ()
    assert other_units(conversation(user_id="kim"), "user:kim", 50) == (), "a thread of one needs no name"
