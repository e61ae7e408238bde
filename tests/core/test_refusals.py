import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reading import read
from core.refusals import ENGLISH, KOREAN, is_refusal


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot provide medical advice.",
        "As an AI language model, I don't have feelings.",
        "I cannot assist with that request.",
        "I won't help threaten anyone. If there is a conflict, talk.",
        "I CAN'T HELP WITH GETTING INTO SOMEONE ELSE'S ACCOUNT.",
        "Unfortunately, I am unable to fulfil this request",
        "That goes against my guidelines.",
        "I'm unable to provide that information.",
        "죄송하지만 그 요청은 도와드릴 수 없습니다.",
        "AI 언어 모델로서 저는 감정을 느끼지 않습니다.",
        "저는 인공지능이라서 답변을 드릴 수 없어요.",
        "죄송합니다. 그 질문에는 답변할 수 없습니다.",
        "가짜 영수증은 만들어 드릴 수 없습니다.",
        "그 부분은 안내해 드리기 어렵습니다.",
        "제 지침에 어긋나는 요청입니다.",
        "인공지능 챗봇으로서 의견을 갖고 있지 않습니다",
        "도와 드릴수 없네요",
    ],
)
def test_a_reply_that_declines_is_found(reply: str) -> None:
    assert is_refusal(read(reply))


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry to hear that. Have you tried restarting?",
        "I'm sorry, I can't hear you over the music.",
        "You can't log in without a password.",
        "I can't help but smile at that.",
        "Sorry, the shop is closed on Sundays.",
        "I can do that.",
        "The policy covers water damage.",
        "If you cannot open the file, try another program.",
        "AI is a field of computer science.",
        "I don't know.",
        "죄송합니다만 배송이 하루 늦어졌습니다.",
        "말로 설명할 수 없는 기분이에요.",
        "비밀번호를 모르면 로그인할 수 없습니다.",
        "인공지능이라는 말은 컴퓨터 과학에서 왔습니다.",
        "그럴 수 없어!",
        "불이 켜지지 않으면 전원을 확인하세요. 문제가 없다면 다시 켜세요.",
        "학교 정책에 따라 다릅니다.",
    ],
)
def test_an_answer_is_not_a_refusal(reply: str) -> None:
    assert not is_refusal(read(reply))


PIECES = """
i can't cannot help as an ai language model sorry my policies against i don't have personal opinions
죄송하지만 도와드릴 수 없습니다 없어요 드리기 어렵습니다 인공지능으로서 제 지침에 위배
"""
pieces = st.lists(st.sampled_from(PIECES.split()), max_size=12).map(" ".join)


@given(st.one_of(st.text(), pieces, st.from_regex(ENGLISH), st.from_regex(KOREAN)))
def test_looking_for_stems_first_misses_nothing(reply: str) -> None:
    said = reply.casefold()
    assert is_refusal(read(reply)) == bool(ENGLISH.search(said) or KOREAN.search(said))
