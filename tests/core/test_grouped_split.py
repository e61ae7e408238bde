"""Groups that stay together, and shares that come out as asked."""

from hypothesis import given
from hypothesis import strategies as st

from core.grouped_split import Groups, assign

NAMES = st.text("abcdef", min_size=1, max_size=2)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=40))
def test_who_is_joined_is_in_one_group_in_whichever_order(pairs: list[tuple[str, str]]) -> None:
    forth, back = Groups(), Groups()
    for one, other in pairs:
        forth.join(one, other)
    for one, other in reversed(pairs):
        back.join(other, one)

    for one, other in pairs:
        assert forth.of(one) == forth.of(other)
    everyone = {name for pair in pairs for name in pair}
    assert {name: forth.of(name) for name in everyone} == {name: back.of(name) for name in everyone}


def test_a_long_chain_is_one_group_named_by_its_smallest() -> None:
    groups = Groups()
    for number in range(50_000, 0, -1):
        groups.join(f"{number:06}", f"{number + 1:06}")

    assert groups.of("050001") == "000001"


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 20), min_size=1, max_size=200))
def test_every_group_has_its_place_and_the_same_one_again(sizes: dict[str, int]) -> None:
    shares = (0.7, 0.2, 0.1)
    placed = assign(sizes, shares)

    assert placed == assign(dict(reversed(sizes.items())), shares)
    assert placed.keys() == sizes.keys()
    total, largest = sum(sizes.values()), max(sizes.values())
    for part, share in enumerate(shares):
        held = sum(size for name, size in sizes.items() if placed[name] == part)
        assert abs(held - share * total) <= 2 * largest


def test_a_share_of_nothing_gets_nothing() -> None:
    placed = assign({str(n): 1 for n in range(100)}, (0.5, 0.0, 0.5))

    assert sorted(placed.values()) == [0] * 50 + [2] * 50
    assert set(assign({"a": 1}, (0.0, 0.0, 1.0)).values()) == {2}
