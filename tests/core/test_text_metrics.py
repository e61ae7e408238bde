import math

import pytest

from core.text_metrics import METRICS, figures, word_f1
from core.verdict import Overlap
from tests.core.examples import evaluation, pairs


def test_f1_counts_the_words_that_both_have() -> None:
    assert word_f1("The cat sat.", "the cat sat") == 1.0
    assert word_f1("the the cat", "the cat") == pytest.approx(0.8)
    assert word_f1("케이블을 확인하세요", "케이블을 다시 확인하세요") == pytest.approx(0.8)
    assert word_f1("nothing alike", "at all") == 0.0
    assert word_f1("", "") == 1.0
    assert word_f1("", "word") == 0.0


def test_figures_are_those_of_the_held_out_or_of_the_golden_where_there_are_any() -> None:
    found = evaluation(pairs([-1.0] * 4), pairs([0.0] * 3, where="g"))
    assert figures(found, ["perplexity"]) == {
        "perplexity": {"base": pytest.approx(math.exp(3)), "candidate": pytest.approx(math.exp(2))}
    }
    golden = found.model_copy(update={"golden": pairs([1.0] * 2, where="x")})
    assert figures(golden, ["perplexity"])["perplexity"]["candidate"] == pytest.approx(math.exp(4))
    assert figures(golden, ["chrf"]) == {"chrf": {}}


def test_all_tokens_count_alike() -> None:
    long, short = pairs([0.0, -2.0])
    found = evaluation((long.model_copy(update={"tokens": 30}), short), ())
    assert figures(found, ["perplexity"])["perplexity"]["candidate"] == pytest.approx(math.exp((3 * 30 + 10) / 40))


def test_accuracy_is_the_share_with_just_the_words_of_the_reference() -> None:
    made = Overlap(conversation_id="a", unit="u", base=1, candidate=2, base_f1=0.5, candidate_f1=1.0)
    other = made.model_copy(update={"conversation_id": "b", "candidate_f1": 0.5, "candidate": 4.0})
    found = evaluation((), (), overlaps=(made, other))
    told = figures(found, METRICS)
    assert told["accuracy"] == {"base": 0.0, "candidate": 0.5}
    assert told["f1"]["candidate"] == 0.75
    assert told["chrf"] == {"base": 1.0, "candidate": 3.0}
    assert told["bleu"] == {}


def test_what_is_no_number_is_left_out() -> None:
    broken = evaluation(pairs([float("nan")] * 3), ())
    assert figures(broken, ["perplexity"]) == {"perplexity": {"base": pytest.approx(math.exp(3))}}
