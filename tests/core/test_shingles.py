import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.shingles import LONGEST, can_reach, jaccard, shingles

TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


def grams(text: str) -> set[str]:
    """The same by the book."""
    padded = text.ljust(5, "\0")
    return {padded[start : start + 5] for start in range(len(padded) - 4)}


@given(TEXTS)
def test_every_text_has_its_own_5_grams_whatever_stands_beside_it(texts: list[str]) -> None:
    together = shingles(texts)
    assert len(together.starts) == len(texts) + 1
    for index, text in enumerate(texts):
        assert np.array_equal(together.of(index), shingles([text]).of(0))
        assert len(together.of(index)) == len(grams(text))


@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_that_of_the_sets_of_5_grams(one: str, other: str) -> None:
    sets = shingles([one, other])
    mine, by_the_book = jaccard(sets.of(0), sets.of(1)), len(grams(one) & grams(other)) / len(grams(one) | grams(other))
    assert mine == by_the_book == jaccard(sets.of(1), sets.of(0))
    assert can_reach(sets.of(0), sets.of(1), mine)


def test_no_text_and_surrogates_are_no_fault() -> None:
    assert len(shingles([]).hashes) == 0
    assert len(shingles(["\ud800 half a pair"]).of(0)) == 9


def test_short_texts_differ() -> None:
    sets = [tuple(shingles([text]).of(0)) for text in ("", "a", "b", "ab", "네")]
    assert len(set(sets)) == 5
    assert {len(found) for found in sets} == {1}


def test_what_is_longer_than_any_dataset_admits_is_not_looked_at() -> None:
    sets = shingles(["x" * LONGEST, "x" * LONGEST + "y" * 1000])
    assert np.array_equal(np.diff(sets.starts), [LONGEST - 4, LONGEST - 4])
