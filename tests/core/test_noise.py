import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.noise import noise_findings
from core.reading import read


def codes(reply: str, asked: str = "왜요?") -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity) for finding in noise_findings(read(asked), read(reply))]


@pytest.mark.parametrize(
    ("rule", "reply"),
    [
        ("lorem_ipsum", "Here you are: Lorem ipsum dolor sit amet."),
        ("too_many_symbols", "그게... 음... 아마... 그... 글쎄... 뭐랄까... 잘 모르겠네요"),
        ("too_many_symbols", "# # # # # # # # word"),
        ("too_many_ellipses", "\n".join(f"이번에는 {n}번째 줄을 길게 쓰다가 말끝을 흐리고 마는데…" for n in range(6))),
        ("mostly_symbols", "<>?{}[]()!@$%^&" * 5),
    ],
)
def test_noise_is_found(rule: str, reply: str) -> None:
    assert (rule, "error") in codes(reply)


def test_a_long_list_is_marked_not_rejected() -> None:
    assert codes("\n".join(f"- item {n}" for n in range(12))) == [("only_bullets", "warning")]


@pytest.mark.parametrize(
    "reply",
    [
        "음... 글쎄요... 잘 모르겠어요.",
        "- bananas\n- lemons\n- pineapples",
        "# 제목\n## 소제목\n내용\n## 둘째\n내용이 있습니다\n### 셋째\n### 넷째\n### 다섯째\n끝",
        "여름 바다 여행 #제주도 #바다 #여행스타그램 #휴가 #여름 #힐링 #주말 #파도 #맛집 #카페",
        "C# and F# are languages of .NET; C# came first, F# followed, and C# is the more common.",
        "축하해요! 🎉🎉🎉🎉🎉🎉",
        "제목\n" + "-" * 80 + "\n내용\n" + "=" * 80,
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "```c\n#include <stdio.h>\n#define A\n# # # # # # #\n" + "{}();<>" * 20 + "\n```",
        "E = mc²",
        "| 기능 | 무료 | 유료 |\n|---|---|---|\n" + "| | ✅ | ❌ |\n" * 8,
        "```\n>>> x\n```\n>>> import this\n>>> for n in range(3):\n...     print(n)\n...\n...\n...\n...\n...\n",
        "",
    ],
)
def test_what_has_a_form_is_not_noise(reply: str) -> None:
    assert codes(reply) == []


def test_placeholder_text_may_be_asked_for() -> None:
    assert codes("Lorem ipsum dolor sit amet", "Give me lorem ipsum for a web page") == []
    assert codes("Lorem ipsum dolor sit amet", "웹페이지에 넣을 더미 글을 써 줘") == []


@given(st.text(), st.text())
def test_any_text_can_be_looked_at(asked: str, reply: str) -> None:
    assert all(finding.where == "reply" for finding in noise_findings(read(asked), read(reply)))
