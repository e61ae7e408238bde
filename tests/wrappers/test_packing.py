from hypothesis import given
from hypothesis import strategies as st

from core.rendering import IGNORED, Rendered
from wrappers.packing import collate, pack


def rendered(length: int, labels: int, first: int = 1) -> Rendered:
    ids = tuple(range(first, first + length))
    return Rendered(ids, (IGNORED,) * (length - labels) + ids[length - labels :])


@given(st.lists(st.integers(min_value=1, max_value=90), max_size=200))
def test_every_conversation_lies_in_exactly_one_row_and_rows_fit(lengths: list[int]) -> None:
    rows = pack(lengths, 64)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    for row in rows:
        assert sum(lengths[index] for index in row) <= 64 or len(row) == 1


def test_short_conversations_leave_little_of_a_row_unused() -> None:
    lengths = [30 + (at * 7) % 40 for at in range(300)]
    assert sum(lengths) / (512 * len(pack(lengths, 512))) > 0.95


def test_positions_restart_at_each_conversation() -> None:
    assert collate([rendered(3, 1), rendered(2, 1)]).position_ids.tolist() == [[0, 1, 2, 0, 1]]


def test_each_label_is_predicted_from_the_token_before_it_and_knows_its_conversation() -> None:
    batch = collate([rendered(4, 2, first=10), rendered(3, 1, first=20)])
    assert batch.positions.tolist() == [1, 2, 5]
    assert batch.targets.tolist() == [12, 13, 22]
    assert batch.owners.tolist() == [0, 0, 1]


def test_a_label_on_the_first_token_is_not_predicted_from_the_conversation_before() -> None:
    first = Rendered((1, 2), (IGNORED, 2))
    whole = Rendered((3, 4), (3, 4))
    assert collate([first, whole]).targets.tolist() == [2, 4]
