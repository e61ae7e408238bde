import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reading import read
from core.toxic_words import EVADED
from core.toxicity import toxic_words


@pytest.mark.parametrize(
    "text",
    [
        "You are a fucking idiot", "f*ck you", "f u c k off", "F.U.C.K", "sh1t", "what a b!tch", "go kill yourself",
        "이 시발 뭐야", "씨발", "씨1발", "시.발 진짜", "ㅅㅂ", "시 발 놈아", "병신아",
        "병1신", "개새끼", "ㅅㅣㅂㅏㄹ", "존나 웃겨", "닥쳐", "썅",
        "'닥쳐'라는 말을 들었어요", "ＦＵＣＫ",
    ],
)  # fmt: skip
def test_words_of_abuse_are_found_also_taken_apart(text: str) -> None:
    assert toxic_words(read(text)) >= 1


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe is a town", "I live in Essex, class assignment", "shiitake mushrooms", "dictionary, cocktail",
        "If you cannot, ask for kindness: forgive", "The function of kitchens", "Dick Van Dyke",
        "시발점은 여기다", "신제품 출시 발표", "다시 발송해 주세요", "병신년은 2016년입니다",
        "민수 씨 발 조심하세요", "김민수씨 발표 잘했어요",
        "시 발표회", "도시발전", "지랑 이야기", "ㅋㅋㅋㅋ ㅎㅎ ㅂㅂ", "씨발아율(씨앗 발아율)", "",
    ],
)  # fmt: skip
def test_innocent_words_that_look_alike_are_not(text: str) -> None:
    assert toxic_words(read(text)) == 0


def test_each_word_counts() -> None:
    assert toxic_words(read("shit, 병신, what a bitch")) == 3


@given(st.text())
def test_any_text_can_be_looked_at(text: str) -> None:
    assert toxic_words(read(text)) >= 0


@given(st.from_regex(EVADED))
def test_looking_for_hints_first_misses_nothing(text: str) -> None:
    if re.search(EVADED, text.casefold()):
        assert toxic_words(read(text)) >= 1
