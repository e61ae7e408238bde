import itertools
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.shingles import jaccard, shingles
from resources import near_duplicates
from resources.bands import MemoryBands
from resources.near_duplicates import THRESHOLD, NearDuplicates, Placed

PRINTER = "the printer on the second floor does not print since this morning, and its lamp blinks red all the time"
REFUND = "어제 주문한 상품이 아직 도착하지 않았는데 환불을 받을 수 있을까요? 주문 번호는 아래에 적어 두었습니다."
# few letters and few words, so that what Hypothesis makes is often alike
WORDS = st.lists(st.sampled_from(["abcdef", "ghijkl", "mnopqr", "안녕하세요", "프린터가"]), max_size=12).map(" ".join)


def near(texts: Sequence[str], start: int = 1) -> tuple[NearDuplicates, list[tuple[int, str]]]:
    items = list(enumerate(texts, start))
    known = dict(items)
    return NearDuplicates(MemoryBands(), lambda seqs: {seq: known[seq] for seq in seqs}), items


def placed(texts: Sequence[str]) -> Mapping[int, Placed]:
    found, items = near(texts)
    return found.place(items)


def similarity(one: str, other: str) -> float:
    sets = shingles([one, other])
    return jaccard(sets.of(0), sets.of(1))


@pytest.mark.parametrize("text", [PRINTER, REFUND])
def test_a_text_with_one_letter_changed_joins_the_first(text: str) -> None:
    changed = text[:40] + "x" + text[41:]
    assert similarity(text, changed) >= THRESHOLD
    assert placed([text, "something else altogether", changed])[3] == Placed(1, (1,))


def test_what_is_alone_is_the_first_of_its_own_cluster() -> None:
    assert placed([PRINTER, REFUND]) == {1: Placed(1, ()), 2: Placed(2, ())}


@pytest.mark.parametrize("text", ["", "\n", "hi", "네", "ㅋㅋㅋ"])
def test_the_shortest_texts_are_alike_only_when_equal(text: str) -> None:
    found = placed([text, "ok", text])
    assert found[3] == Placed(1, (1,))
    assert found[2] == Placed(2, ())


def test_who_is_near_two_clusters_joins_the_older_and_names_a_member_of_both() -> None:
    short, between, long = PRINTER[:75], PRINTER[:87], PRINTER
    assert similarity(short, long) < THRESHOLD <= min(similarity(short, between), similarity(between, long))
    found = placed([short, REFUND, long, between])
    assert found[3] == Placed(3, ())
    assert found[4] == Placed(1, (1, 3))


def test_a_cluster_is_known_by_its_first_member_also_to_those_near_a_later_one() -> None:
    grown = [PRINTER[: 70 + 10 * times] for times in range(4)]
    assert similarity(grown[0], grown[-1]) < THRESHOLD
    found = placed(grown)
    assert {of.cluster for of in found.values()} == {1}


def test_a_number_given_twice_is_refused() -> None:
    found, _ = near([PRINTER])
    with pytest.raises(ValueError, match="1 repeated"):
        found.place([(1, PRINTER), (1, REFUND)])


def test_what_is_forgotten_is_nobodys_neighbour() -> None:
    found, items = near([PRINTER, REFUND])
    found.place(items)
    found.forget([1])
    assert found.place([(3, PRINTER), (4, REFUND)]) == {3: Placed(3, ()), 4: Placed(2, (2,))}


def test_a_text_that_is_gone_is_nobodys_neighbour() -> None:
    found = NearDuplicates(MemoryBands(), lambda seqs: {})
    found.place([(1, PRINTER)])
    assert found.place([(2, PRINTER)]) == {2: Placed(2, ())}


@given(WORDS, WORDS)
def test_being_near_does_not_depend_on_who_came_first(one: str, other: str) -> None:
    together = placed([one, other])[2].cluster == 1
    assert together is (placed([other, one])[2].cluster == 1)
    if together:
        assert similarity(one, other) >= THRESHOLD


@given(st.lists(WORDS, max_size=30), st.lists(st.integers(0, 30), max_size=4))
@settings(max_examples=60, deadline=None)
def test_however_it_is_cut_into_batches_the_clusters_are_the_same(texts: list[str], cuts: list[int]) -> None:
    whole = placed(texts)
    found, items = near(texts)
    edges = [0, *sorted(cuts), len(items)]
    in_parts: dict[int, Placed] = {}
    for start, end in itertools.pairwise(edges):
        in_parts.update(found.place(items[start:end]))
    assert in_parts == whole


def test_pieces_of_a_batch_change_nothing_where_buckets_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = templated(300)
    whole = placed(texts)
    monkeypatch.setattr(near_duplicates, "PIECE_TEXTS", 37)
    assert placed(texts) == whole
    monkeypatch.setattr(near_duplicates, "PIECE_CHARACTERS", 1_000)
    assert placed(texts) == whole


def templated(number: int) -> list[str]:
    """Messages that share most of their text and are no near-duplicates: almost all share some band."""
    letters = random.Random(3)
    common = "고객님, 주문하신 상품의 배송이 시작되었습니다. please wait until the parcel has been delivered to you: "
    return [common + "".join(chr(letters.randrange(0x3400, 0x4DB0)) for _ in range(16)) for _ in range(number)]


@pytest.mark.parametrize("number", [1_500, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("same", [False, True])
def test_templated_messages_cost_a_bounded_number_of_comparisons_each(number: int, same: bool) -> None:
    texts = [text[: -15 if same else None] for text in templated(number)]
    assert (similarity(*texts[:2]) >= THRESHOLD) is same
    found, items = near(texts)
    clusters = {of.cluster for of in found.place(items).values()}
    assert len(clusters) == (1 if same else number)
    assert 0 < found.compared <= 32 * number
