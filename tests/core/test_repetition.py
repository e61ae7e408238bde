import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reading import read
from core.repetition import repetition_findings

REFRAIN = """Row on, row on, the night is long,
The river knows our simple song.
And home, and home, and home we go.

The stars above are cold and few,
The boat is old, the oars are new.
And home, and home, and home we go.

The town is near, I see the light,
A candle set for us tonight.
And home, and home, and home we go."""

CHORUS = """빗방울이 창을 두드리면
나는 너의 이름을 불러
그리운 날들이 지나가도
나는 여기 서 있을게

사랑해 사랑해 너만을 사랑해
이 밤이 지나도 너만을 사랑해

바람이 골목을 지나가면
나는 너의 노래를 들어
멀어진 길 위에 홀로 서도
나는 여기 서 있을게

사랑해 사랑해 너만을 사랑해
이 밤이 지나도 너만을 사랑해

사랑해 사랑해 너만을 사랑해
이 밤이 지나도 너만을 사랑해"""

HONEST = {
    "a laugh": "ha ha ha ha ha ha, that's a good one!",
    "웃음": "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 진짜 웃기네요. 하하하하하하하",
    "a laugh in a word": "hahahahahahahahaha",
    "an emphasis": "No, no, no, no! It is very, very, very, very important.",
    "sorry three times": "I'm sorry. I'm sorry. I'm sorry.",
    "a birthday": "Happy birthday to you, happy birthday to you, happy birthday dear Minsu, happy birthday to you!",
    "a list": "- Buy milk\n- Buy eggs\n- Buy bread\n- Buy butter\n- Buy cheese\n- Buy apples",
    "steps": "Step 1: Open the Settings app.\nStep 2: Open the Network page.\nStep 3: Open the Wi-Fi page.",
    "two alike": "To open the file, click the button in the top left. To close it, click the button in the top right.",
    "a lesson": "He is a man. She is a woman. It is a dog. This is a cat. That is a bird.",
    "문법": "나는 사과를 먹는다. 너는 사과를 먹는다. 그는 사과를 먹는다. 우리는 사과를 먹는다.",
    "과일": "사과는 과일입니다. 배는 과일입니다. 감은 과일입니다. 귤은 과일입니다. 포도는 과일입니다.",
    "요리": "양파를 썰어 넣고 볶습니다. 당근을 썰어 넣고 볶습니다. 감자를 썰어 넣고 볶습니다. 물을 붓고 끓입니다.",
    "구구단": "\n".join(f"3 곱하기 {n}은 {3 * n}입니다." for n in range(1, 10)),
    "a times table": "\n".join(f"2 x {n} = {2 * n}" for n in range(1, 10)),
    "a poem with a refrain": REFRAIN,
    "후렴이 있는 노래": CHORUS,
    "a mantra": "옴 마니 반메 훔, 옴 마니 반메 훔, 옴 마니 반메 훔.",
    "cells of a table": "```html\n<tr>\n<td></td>\n<td></td>\n<td></td>\n</tr>\n<tr>\n<td></td>\n<td></td>\n</tr>\n```",
    "asserts": "```python\n" + "\n".join(f"assert add({n}, {n}) == {2 * n}" for n in range(30)) + "\n```",
    "a matrix": "```\n" + "0 0 0 0 0 0\n" * 12 + "```",
    "a table": "| name | age |\n|---|---|\n| Kim | 30 |\n| Lee | 30 |\n| Park | 30 |\n| Choi | 30 |",
    "answers": "Yes\nNo\nYes\nYes\nNo\nYes\nYes\nYes",
    "a drawn line": "제목\n" + "-" * 60 + "\n내용은 다음과 같습니다.\n" + "=" * 60,
    "questions": "Q: Can I return it?\nA: Yes, within 30 days.\n\nQ: Can I exchange it?\nA: Yes, within 30 days.",
    "opening hours": "\n".join(f"- {day}day: open from 9 a.m. to 6 p.m." for day in ("Mon", "Tues", "Wednes", "Thurs")),
    "영업시간": " ".join(f"{day}요일은 9시부터 6시까지입니다." for day in "월화수목금토일"),
    "a price list": "\n".join(
        f"{n}. Plan {n} costs {n * 10} dollars a month and can be cancelled." for n in range(1, 13)
    ),
    "a contract": "The Seller shall deliver the goods to the Buyer. The Buyer shall pay the price to the "
    "Seller. The Seller shall bear the risk until delivery. The Buyer shall inspect the goods on delivery. The Seller "
    "shall repair or "
    "replace any defective goods. The Buyer shall notify the Seller of defects within ten days.",
    "digits": "10101010101010101010101010101010 and 1" + "0" * 30,
    "an address": "https://example.com/" + "abc/" * 20,
    "addresses": "\n".join(
        f"- image: https://example.com/{name}.png\n  target: https://a.b/{name}" for name in "abcdefg"
    ),
    "짧은 답": "네",
    "nothing": "",
}

CIRCLES = {
    "one word": "the " * 17,
    "한 단어": "그리고 " * 15,
    "sorry": "I'm sorry. " * 4,
    "a sentence": "The sky is blue because of the sun. " * 6,
    "문장": "저는 인공지능 비서입니다. 무엇을 도와드릴까요? " * 5,
    "a tail": "There are several ways to do that, depending on what you want. "
    + "You can use the app to do it, and " * 8,
    "꼬리": "파이썬을 배우는 좋은 방법은 직접 만들어 보는 것입니다. " + "그리고 그것을 다시 만들어 보는 것입니다. " * 6,
    "lines": "Check the cable.\n" * 6,
    "줄": "전원을 확인해 주세요.\n" * 5,
    "a numbered list of one item": "\n".join(f"{n}. Check the power cable and turn it on again." for n in range(1, 12)),
    "번호": "\n".join(f"{n}. 매일 운동을 하고 물을 많이 마시는 것이 좋습니다." for n in range(1, 10)),
    "a paragraph": "The best way to learn is to practise every day and to ask for help when you need it.\n\n" * 2,
    "a reply said twice": "To reset it open the settings page and choose reset password. " * 2,
    "글자": "하지만" * 15,
    "한 글자": "아" * 60,
    "characters": "Sure: " + "abc" * 30,
    "漢字": "我不知道" * 8,
    "dots": "." * 300,
    "emoji": "😀" * 150,
    "nearly the same": "".join(
        f"I think that the best thing to do is to go to the {place}. "
        for place in ("store", "park", "beach", "mall", "zoo", "gym")
    ),
    "비슷한 말": "한국의 수도는 서울이고 한국의 인구는 많고 " * 7,
    "a line of code": "```python\n" + "    result = result + value * 2\n" * 12 + "```",
    # as the bundled model wrote them
    "a list that grows": "1. Bananas\n2. Apples\n3. Anise\n4. Aniseed\n5. Aniseed-mango\n6. Aniseed-mango-mango\n"
    + "\n".join(f"{n}. Aniseed-mango-mango-mango-mango" for n in range(7, 13)),
    "a poem without an end": "In the depths of the ocean, where shadows play,\nAbe a sea of dreams,\n\n"
    + "The ocean's a place of endless wonder,\nAbe a sea of dreams,\n\n" * 6,
    "없는 말": "어리철어를 " * 24,
    "after a good start": "First of all you should know that it depends.\n\n"
    + "You should check the manual and then you should check the manual again.\n" * 4,
}


def errors(text: str) -> list[str]:
    return [finding.rule for finding in repetition_findings(read(text)) if finding.severity == "error"]


@pytest.mark.parametrize("name", HONEST)
def test_people_repeat_themselves_a_little(name: str) -> None:
    assert errors(HONEST[name]) == []


@pytest.mark.parametrize("name", CIRCLES)
def test_a_reply_that_goes_round_in_circles_is_found(name: str) -> None:
    assert errors(CIRCLES[name])


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("looping", CIRCLES["one word"]),
        ("repeated_lines", CIRCLES["번호"]),
        ("repeated_paragraphs", CIRCLES["a paragraph"]),
        ("repeated_words", CIRCLES["nearly the same"]),
    ],
)
def test_each_rule_has_its_code(rule: str, text: str) -> None:
    assert rule in errors(text)


def test_a_long_line_that_stands_twice_is_marked_not_rejected() -> None:
    line = "Please keep the receipt in a safe place, as you will need it for every kind of return. "
    verse = [line, "Returns are free.", line, *(f"Item {n} may be returned until the {n}th of May." for n in range(9))]
    found = repetition_findings(read("\n".join(verse)))
    assert [(finding.rule, finding.severity) for finding in found] == [("duplicate_characters", "warning")]


@given(st.text(), st.integers(1, 50))
def test_any_text_can_be_looked_at_however_often_it_repeats(text: str, times: int) -> None:
    for finding in repetition_findings(read(text * times)):
        assert finding.where == "reply"


SENTENCE = st.lists(
    st.sampled_from(["the", "sky", "is", "blue", "하늘은", "왜", "파란가요", "and", "then", "we", "go", "home"]),
    min_size=8,
    max_size=20,
)


@given(SENTENCE, st.integers(6, 30), st.text(max_size=60))
def test_a_sentence_said_again_and_again_is_found_after_any_start(unit: list[str], times: int, start: str) -> None:
    assert errors(start + "\n" + (" ".join(unit) + ". ") * times)
