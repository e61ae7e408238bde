from hypothesis import given
from hypothesis import strategies as st

from core.duplicates import folded
from core.reading import WORD, prose, read, words


def test_words_are_letters_and_digits_whatever_their_case_and_form() -> None:
    assert words("Ｈｅｌｌｏ, 안녕하세요!  don't_stop C++20…") == ["hello", "안녕하세요", "don", "t", "stop", "c", "20"]


def test_prose_is_without_code_and_addresses() -> None:
    text = read("먼저 `git push`를 하고\n```sh\nrm -rf build\n```\nhttps://example.com/a?b=1 을 보세요")
    assert text.prose_words == ["먼저", "를", "하고", "을", "보세요"]
    assert {"git", "rm", "example"} <= set(text.words)
    assert prose("```\nnever closed") == " "


@given(st.text())
def test_the_fast_way_to_words_finds_what_the_pattern_finds(text: str) -> None:
    assert words(text) == WORD.findall(folded(text))
    assert read(text).compact == "".join(words(text))
