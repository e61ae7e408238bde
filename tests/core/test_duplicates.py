import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.duplicates import exact_hash, folded
from tests.core.examples import conversation, talk

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(TEXT, TEXT)
def test_the_hash_ignores_case_spacing_and_unicode_form(question: str, reply: str) -> None:
    plain = exact_hash(conversation(question, reply))
    assert exact_hash(conversation(f"  {question}\n", f"\t{reply} ")) == plain
    assert exact_hash(conversation(folded(question), folded(reply))) == plain
    assert (
        exact_hash(conversation(unicodedata.normalize("NFD", question), unicodedata.normalize("NFKD", reply))) == plain
    )


@given(TEXT)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(TEXT, TEXT)
def test_question_and_reply_do_not_run_into_each_other(question: str, reply: str) -> None:
    same = folded(question) == folded(reply)
    assert (exact_hash(conversation(question, reply)) == exact_hash(conversation(reply, question))) is same


def test_known_equals_and_known_differences() -> None:
    known = exact_hash(conversation("카드 번호는?", "ＡＢＣ　Straße"))
    assert exact_hash(conversation("카드   번호는?", "abc strasse")) == known
    assert exact_hash(conversation("카드 번호는?", "abc strasse!")) != known


def test_an_accent_after_a_folded_letter_is_composed() -> None:
    assert folded("ß\u0301") == folded("SŚ") == "s\u015b"


def test_only_the_last_question_counts_and_no_name() -> None:
    first = conversation(messages=talk("one", "two", "three"), id="a", user_id="u")
    assert exact_hash(first) == exact_hash(conversation("three", id="b", user_id="v"))


@pytest.mark.parametrize("marks", ["\u0301\u0327", "\uff9e\u0301"])
def test_a_letter_under_a_hundred_thousand_marks_is_folded_at_once(marks: str) -> None:
    text = "가" + marks * 50_000
    started = time.process_time()
    once = folded(text)
    assert time.process_time() - started < 3, "sorting them takes the square of their number"
    assert folded(once) == once != folded(text[:-1])
