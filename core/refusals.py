"""Replies that decline, and the boilerplate of assistants about being one; Korean and English.

A refusal can be right, so it is flagged, not rejected: data full of refusals teaches to refuse everything, hence a cap
on their share (`core.caps`). Limits: it knows the usual phrases, not a refusal in words of its own; a shop that cannot
refund is counted too.
"""

import re

from core.reading import Text

_CANNOT = r"(?:can['’]?t|cannot|can not|won['’]?t|will not|am unable to|['’]m unable to|(?:am|['’]m) not able to)"
_ENGLISH = (
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model|chat ?bot|virtual assistant)\b",
    r"\bi(?:['’]m| am) (?:just |only |merely )?an? (?:ai|(?:large )?language model)\b[^.!?\n]{0,60}\b"
    r"(?:can['’]?t|cannot|don['’]?t|unable|not able)",
    r"\b(?:sorry|apologi[sz]e|afraid|unfortunately)\b[^.!?\n]{0,40}\bi "
    + _CANNOT
    + r"(?! (?:hear|see|find|remember|come|make it|wait|stop|read)\b)",
    r"\bi "
    + _CANNOT
    + r" (?!help but\b)(?:help|assist|provide|comply|fulfill?|do that|generate|create|support|discuss|"
    r"engage|share that|answer that|give you|tell you how|write that|participate|advise)",
    r"\bi['’]m (?:unable|not able) to (?:help|assist|provide|comply|fulfill?|answer|generate|create)",
    r"\b(?:against|violates?|outside) (?:my|our) (?:programming|guidelines|polic(?:y|ies)|principles)",
    r"\bmy (?:knowledge|training)(?: data)? (?:cut-?off|only goes|ends)",
    r"\bi don['’]?t have (?:personal (?:opinions|feelings|experiences|beliefs)|access to real[- ]time)",
)
# 없는 is left out: "말로 설명할 수 없는 기분" declines nothing
_NOT_POSSIBLE = r"수(?:가|는|도)? ?없(?=습|어|네|음|다|을|겠|지|으)"
_KOREAN = (
    r"(?:ai|인공 ?지능|언어 ?모델|챗봇)(?: ?(?:언어 ?)?(?:모델|비서|챗봇|어시스턴트|프로그램))?"
    r"(?:으?로서|이기 때문|이라서|라서|이므로)",
    r"(?:드릴|도울|도와줄|답변할|대답할|답할|제공할|응할|들어줄|생성할|작성할) ?" + _NOT_POSSIBLE,
    r"(?:죄송|미안|유감|안타깝)[^.!?\n]{0,40} ?[가-힣]{1,9} ?" + _NOT_POSSIBLE,
    r"(?:도와|도움을?|답변을?|답변해|제공해|알려|대답해|대답을?|안내해)? ?드리기(?:가|는)? ?(?:어렵|힘들|곤란)",
    r"(?:제|저의|우리) ?(?:지침|정책|원칙|가이드라인)(?:에|과|을|상)[^.!?\n]{0,20}(?:위배|어긋|위반|벗어)",
)
ENGLISH = re.compile("|".join(_ENGLISH))
KOREAN = re.compile("|".join(_KOREAN))
# one of these stands in every text that the pattern matches: under what is looked for first, what is looked for then
_STEMS_ENGLISH = {
    "i can": ("i can't", "i can’t", "i cannot", "i cant", "i can not"),
    "i w": ("i won", "i will not"),
    "able": ("unable", "not able"),
    "as a": ("as an a", "as a a", "as an l", "as a l", "as an c", "as a c", "as an v", "as a v"),
    "an ai": ("an ai",),
    "a ai": ("a ai",),
    "language model": ("language model",),
    "against ": ("against my ", "against our "),
    "violate": ("violate my ", "violates my ", "violate our ", "violates our "),
    "outside ": ("outside my ", "outside our "),
    "my knowledge": ("my knowledge",),
    "my training": ("my training",),
    "i don": ("i don't have", "i don’t have", "i dont have"),
}
_STEMS_KOREAN = ("없", "드리기", "로서", "때문", "라서", "므로", "지침", "정책", "원칙", "가이드라인")


def is_refusal(reply: Text) -> bool:
    """Whether the reply declines or speaks of itself as an AI."""
    said = reply.raw.casefold()
    begun = [stems for first, stems in _STEMS_ENGLISH.items() if first in said]
    if any(stem in said for stems in begun for stem in stems) and ENGLISH.search(said):
        return True
    return not said.isascii() and any(stem in said for stem in _STEMS_KOREAN) and bool(KOREAN.search(said))
