"""What the bench of near-duplicates holds for true, and what it works on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import names
from bench.dedupe import languages, recall, shares, wanted
from bench.near_texts import made
from bench.near_truth import Truth, f1, together, truth
from bench.report import Report
from core.shingles import jaccard, shingles

TEXTS = st.lists(st.text("ab c", max_size=12), min_size=1, max_size=8)


@given(TEXTS)
def test_the_truth_is_the_similarity_of_every_pair(texts: list[str]) -> None:
    sets = shingles(texts)
    found = truth(texts, 0.8)
    for later in range(len(texts)):
        similar = [jaccard(sets.of(later), sets.of(earlier)) for earlier in range(later)]
        assert found.best[later] == pytest.approx(max(similar, default=0.0))
        for earlier, value in enumerate(similar):
            assert value < 0.8 or found.cluster[earlier] == found.cluster[later]


def test_f1_counts_both_what_is_missed_and_what_is_taken_wrongly() -> None:
    assert f1({1, 2}, {1, 2}) == 1
    assert f1({1, 2}, {1, 3}) == 0.5
    assert f1(set(), {1}) == 0
    assert together([0, 0, 2, 0]) == {(0, 1), (0, 3), (1, 3)}


def test_recall_is_told_by_how_near_a_text_is() -> None:
    known = Truth(best=[0.0, 0.81, 0.84, 0.99, 0.79], cluster=[])
    assert wanted(known) == {1, 2, 3}
    assert recall(known, {1, 3}) == {"0.80 to 0.85": 0.5, "0.85 to 0.90": 0, "0.90 to 0.95": 0, "0.95 to 1.00": 1}


def test_the_texts_are_the_same_each_time_in_both_languages_and_partly_alike() -> None:
    texts = made(200, seed=5, variants=0.5)
    assert texts == made(200, seed=5, variants=0.5) != made(200, seed=6, variants=0.5)
    assert min(len(part) for part in languages(texts).values()) > 50
    best = truth([one.text for one in texts], 0.8).best
    assert sum(value >= 0.8 for value in best) > 40
    assert sum(0.5 < value < 0.8 for value in best) > 10


def test_one_percent_that_costs_more_than_three_falls_short() -> None:
    assert Report("dedupe", shares("somewhere", [10.0, 0.2, 0.3])).holds
    assert not Report("dedupe", shares("somewhere", [10.0, 0.2, 0.5])).holds


def test_the_helpers_of_the_bench_are_no_benches() -> None:
    assert "dedupe" in names()
    assert not {"near_texts", "near_truth", "peer_datasketch", "peers"} & set(names())
