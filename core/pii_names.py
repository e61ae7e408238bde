r"""Words around a number that say what it is: the nearest one counts.

Latin ones begin after no letter, so a smartphone names nothing; `\b` before a word asks for more, that it begins there.
"""

import re
from functools import lru_cache

from core.pii_kinds import Text
from core.pii_text import by_first_letter, first_letters

# in lower case; each begins with a letter of its own
_KOREAN = {
    "rrn": ("주민", "민증", r"외국인\s?등록", r"등록\s?증"),
    "corporate": (r"법인\s?(?:등록)?\s?번호",),
    "driver_licence": ("운전", "면허"),
    "passport": ("여권", "패스포트"),
    "ssn": ("사회보장",),
    "card": ("카드", "결제"),
    "business_number": ("사업자", "세금계산서"),
    "phone": ("전화", "연락", "휴대", "핸드폰", r"폰\s?번호", "팩스", "번호로", "카톡", "문자"),
    "bank_account": (
        *("계좌", "예금주", "입금", "송금", "이체", "은행", "뱅크", "새마을금고", "우체국", "통장", "환불"),
    ),
    "other": ("메일", "주소", "비밀번호"),
}
_WHOM = r"\s+(?:me|us|him|her"
_LATIN = {
    "rrn": ("resident", r"\brrn\b", r"\balien", "foreigner", r"\barc\b"),
    "corporate": ("corporate registration",),
    "driver_licence": ("driver", "driving", "licen[cs]e", r"\bdl\b"),
    "passport": ("passport",),
    "ssn": ("social", r"\bssn\b"),
    "card": ("card", "mastercard", "creditcard", "debitcard", "visa", "amex", "payment", "charge"),
    "business_number": (r"business[ _](?:registration|reg|number|no)", r"\bbrn\b"),
    "phone": (
        *("phone", r"\btel\b", "mobile", r"\bcell\b", "whatsapp", r"\bfax\b", r"\bdial\b", "contact", "hotline"),
        *(rf"call{_WHOM}|them)", rf"reach{_WHOM})", rf"text{_WHOM})", rf"ring{_WHOM})"),
    ),
    "bank_account": (
        *(r"\bbank\b", r"\baccount\b", r"\bacct\b", r"\ba/c\b", r"\biban\b", r"\bdeposit\b"),
        *(r"account_?(?:no|num)", "bank_"),
    ),
    "other": ("e-?mail", "address", r"api[_ ]?key", r"\bip\b", "password"),
}


_IN_KOREAN_WORDS = tuple(word for words in _KOREAN.values() for word in words)
_IN_KOREAN = by_first_letter(_IN_KOREAN_WORDS)
_IN_LATIN = tuple(word for words in _LATIN.values() for word in words)
_FIRST = re.compile(f"{_IN_KOREAN}|{by_first_letter(_IN_LATIN, '(?<![a-z].)')}")
# .* goes to the end and looks back from there; where all is Latin, to the letter before a name, which is quicker to see
_LAST = re.compile(
    f"(.*)(?=[{first_letters(_IN_KOREAN_WORDS)}]|[{first_letters(_IN_LATIN)}](?<![a-z].))(?:{_FIRST.pattern})",
    re.DOTALL,
)
_LAST_LATIN = re.compile(f"(.*[^a-z])(?:{by_first_letter(_IN_LATIN)})", re.DOTALL)
_KIND = re.compile("|".join(f"(?P<{kind}>{'|'.join((*words, *_LATIN[kind]))})" for kind, words in _KOREAN.items()))
_BEFORE, _AFTER = 36, 14
_USED = 6  # digits between a name and a number: the name was for those
_ENDED = re.compile(r"(?:[?!]|[가-힣]\.|[a-z]{4}\.)\s|[요다죠까줘.]\s*\n")


def name_of(text: Text, start: int, end: int) -> str:
    """The kind that the nearest word names: before the number, else after it in its line; empty without any."""
    known = text.names.get((start, end))
    if known is None:
        known = text.names[start, end] = name_before(text.lower, start) or _name_after(text.lower, end)
    return known


def name_before(lower: str, start: int) -> str:
    """Empty where another number or an e-mail stands between, which the name was for, or where its sentence ended."""
    first = max(0, start - _BEFORE)
    latin = lower[first:start].isascii()
    name = _LAST_LATIN.match(lower, max(0, first - 1), start) if latin else _LAST.match(lower, first, start)
    begin = name.end(1) if name else 0
    if latin and not name and not first:
        name = _FIRST.match(lower, 0, start)
    if not name:
        return ""
    between = lower[name.end() : start]
    if len(between) >= _USED and (sum(map(str.isdigit, between)) >= _USED or _ENDED.search(between)):
        return ""
    return "" if "@" in between else _kind(lower[begin : name.end()])


def _name_after(lower: str, end: int) -> str:
    line = lower.find("\n", end, end + _AFTER)
    name = _FIRST.search(lower, end, line if line >= 0 else end + _AFTER)
    return _kind(name[0]) if name else ""


@lru_cache(maxsize=1024)
def _kind(name: str) -> str:
    kind = _KIND.fullmatch(name)
    return (kind and kind.lastgroup) or ""
