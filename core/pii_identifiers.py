"""Numbers that name a person, a card or a business in a run of digits."""

import re

from core.pii_checks import LICENCE_REGIONS, brn_checksum, card_issuer, day_exists, digits_of, luhn, rrn_checksum
from core.pii_context import is_another, is_bank_name, is_glued
from core.pii_kinds import Hit, Text
from core.pii_names import name_before, name_of

_GAP = r"[ \t]{0,2}[-./~_]?[ \t]{0,2}"
_DAY = r"(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_HIDDEN = r"[*xX●○•◦■□#]"

_BIRTHDAY = re.compile(rf"\d\d{_DAY}")
_HIDDEN_RRN = re.compile(
    rf"\d(?<!\d\d)(?<!\d-\d)\d{_DAY}{_GAP}(?=(?:\d|{_HIDDEN}){{7}}(?!\d|{_HIDDEN}))(\d)?\d{{0,5}}{_HIDDEN}+"
)
_AT_ITS_ENDS = rf"[\d{_HIDDEN[1:-1]}]"  # more of it, which a card has not
_HIDDEN_CARD = re.compile(
    rf"\d(?<!{_AT_ITS_ENDS}.)\d{{3}}(?P<gap>[ -]?)(?P<hidden>{_HIDDEN})(?P=hidden){{3}}(?P=gap)(?P=hidden){{4}}(?P=gap)"
    rf"\d{{4}}(?!{_AT_ITS_ENDS})"
)
_ALSO_LETTERS = "xX#"  # stand for any number in a pattern as well
_BREAK = r"[ \t]{0,2}\r?\n[ \t]{0,4}"
_BROKEN_RRN = re.compile(
    rf"\d(?<!\d\d)(?<!\d-\d)\d{_DAY}(?:(?P<hyphen>[ \t]{{0,2}}-{_BREAK}|{_BREAK}-[ \t]{{0,2}})|{_BREAK})"
    r"(?P<sex>\d)\d{6}(?!\d)(?!-\d)"
)
_SAID_RRN = re.compile(
    rf"\d(?<!\d\d)\d{_DAY}(?: ?다시 ?|[가-힣,. ]{{0,6}}뒷 ?(?:자리|번호)[는은이가: ]{{0,3}})"
    r"([0-9])\d{6}(?!\d)(?!-\d)"
)
_NEXT_LINE = re.compile(r"\n[ \t]{0,4}-?[ \t]{0,2}\d{7}(?!\d)")
_PROVINCE = re.compile(
    r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)[ \-]{0,2}$"
)
_PROVINCE_LENGTH = 5
_THING = re.compile(
    r"(?:계약|부품|문서|관리|고객|회원|품목|자재|도면|설비|사건|수험|허가|신청|결재)\s?(?:번호|코드)?[은는이가:=#]?\s?$"
)
_HANGUL = re.compile("[가-힣]")
_SSN_GIVEN_OUT = re.compile(r"(?!000|666|9)\d{3}[- ]?(?!00)\d{2}[- ]?(?!0000)\d{4}")

# how each looks where each digit is a 0; the groups are what may stand between
RRN_FORM = re.compile(rf"(?<!0)(?<!0-)0{{6}}{_GAP}0{{7}}(?!0)(?!-0)")
CARD_FORM = re.compile(
    r"(?<!0)(?<!0[-.])(?:0{13,19}|0{4}(?P<a>[ .]| ?- ?)0{4}(?P=a)0{4}(?P=a)0{4}(?:(?P=a)0{1,3})?"
    r"|0{4}(?P<b>[ .]| ?- ?)0{6}(?P=b)0{4,5}|0{4}(?P<c>[ .]| ?- ?)0{4}(?P=c)0{4}(?P=c)0{1,3})(?!0)(?!-0)"
)
LICENCE_FORM = re.compile(r"(?<!0)(?<!0-)00( ?- ?| )?00( ?- ?| )?0{6}( ?- ?| )?00(?!0)(?!-0)")
OLD_LICENCE_FORM = re.compile(r"^00[ \-]{0,2}0{6}[ \-]{0,2}00(?!0)(?!-0)")
SSN_FORM = re.compile(r"(?<!0)(?<!0-)000([- ]?)00\1(?:0{4})(?!0)(?!-0)")
BUSINESS_FORM = re.compile(r"(?<!0)(?<!0-)000( ?- ?| )?00( ?- ?| )?0{5}(?!0)(?!-0)")
CORPORATE_FORM = re.compile(r"(?<!0)(?<!0-)0{6} ?- ?0{7}(?!0)(?!-0)")


def hidden_numbers(text: Text) -> list[Hit]:
    """With their middle or end masked by hand: of a resident the birthday is left, of a card its ends."""
    residents = [
        Hit("frn" if (match[3] or "0") in "5678" else "rrn", *match.span(), False, 10)
        for match in _HIDDEN_RRN.finditer(text.plain)
    ]
    cards = [
        Hit("card", *match.span(), False, 11)
        for match in _HIDDEN_CARD.finditer(text.plain)
        if match["hidden"] not in _ALSO_LETTERS or name_of(text, *match.span()) == "card"
    ]
    return residents + cards


def may_be_hidden(lower: str) -> bool:
    """Two of what hides digits, side by side; one alone is found at a fourth of the cost."""
    return (
        ("*" in lower and "**" in lower) or ("x" in lower and "xx" in lower) or ("#" in lower and "##" in lower)
        or (not lower.isascii() and _may_be_hidden_by_shapes(lower))
    )  # fmt: skip


def _may_be_hidden_by_shapes(lower: str) -> bool:
    return (
        ("●" in lower and "●●" in lower) or ("○" in lower and "○○" in lower) or ("•" in lower and "••" in lower)
        or ("◦" in lower and "◦◦" in lower) or ("■" in lower and "■■" in lower) or ("□" in lower and "□□" in lower)
    )  # fmt: skip


def broken_rrn(text: Text) -> list[Hit]:
    """Over two lines: with a hyphen at the break, or where it is named."""
    if not _NEXT_LINE.search(text.plain):
        return []
    hits = []
    for match in _BROKEN_RRN.finditer(text.plain):
        name = name_of(text, *match.span())
        if name == "rrn" or (match["hyphen"] and name != "corporate"):
            hits.append(Hit("frn" if match["sex"] in "5678" else "rrn", *match.span(), name == "rrn", 10))
    return hits


def said_rrn(text: Text) -> list[Hit]:
    """Its halves one after the other, as it is told by word of mouth."""
    return [
        Hit("frn" if match[3] in "5678" else "rrn", *match.span(), True, 10)
        for match in _SAID_RRN.finditer(text.plain)
        if name_of(text, *match.span()) == "rrn"
    ]


def rrn(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    birthday = _BIRTHDAY.match(text.plain, start)
    if not birthday:
        return None
    digits, name = digits_of(text.plain[start:end]), name_of(text, start, end)
    checked, bare = rrn_checksum(digits), end - start == len(digits)
    if name == "corporate" or (bare and name != "rrn" and not _stands_alone(text, start, end, birthday)):
        return None
    if bare and name == "bank_account" and not checked:
        return None
    return Hit("frn" if digits[6] in "5678" else "rrn", start, end, checked or name == "rrn", 10)


def _stands_alone(text: Text, start: int, end: int, birthday: re.Match[str]) -> bool:
    """Thirteen bare digits: a day that exists, no letter or decimal point beside them, no word for another number."""
    day = day_exists(int(birthday[1]), int(birthday[2]))
    return day and not is_glued(text, start, end) and not is_another(text, start)


def card(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    digits = digits_of(text.plain[start:end])
    if not (card_issuer(digits) and luhn(digits)):
        return None
    named = name_of(text, start, end) == "card"
    grouped = len(digits) < end - start
    if named or grouped or not (is_glued(text, start, end) or is_another(text, start)):
        return Hit("card", start, end, named or grouped, 11)
    return None


def licence(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    if text.plain[start : start + 2] not in LICENCE_REGIONS:
        return None
    named = name_of(text, start, end) == "driver_licence"
    return (
        Hit("driver_licence", start, end, named, 13) if named or (hyphens and _is_no_other(text, start, end)) else None
    )


def old_licence(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    """Begins with the name of a province."""
    province = _PROVINCE.search(text.plain, max(0, start - _PROVINCE_LENGTH), start)
    return Hit("driver_licence", province.start(), end, False, 13) if province else None


def _is_no_other(text: Text, start: int, end: int) -> bool:
    """Whether what is grouped with hyphens as a kind is may be of that kind: it is named as nothing else."""
    if _THING.search(text.plain, max(0, start - 14), start):
        return False
    if name_of(text, start, end) == "bank_account" and name_before(text.lower, start) == "bank_account":
        return False
    return not is_bank_name(text, start) and not is_another(text, start)


def ssn(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    if not _SSN_GIVEN_OUT.match(text.plain, start):
        return None
    named = name_of(text, start, end) == "ssn"
    # unnamed in Korean it is the number of a contract or a part
    unnamed = hyphens and not named and _is_no_other(text, start, end) and not _HANGUL.search(text.plain)
    return Hit("ssn", start, end, named, 14) if named or unnamed else None


def business(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    named = name_of(text, start, end) == "business_number"
    if not named and not (hyphens and _is_no_other(text, start, end)):
        return None
    return Hit("business_number", start, end, brn_checksum(digits_of(text.plain[start:end])), 21 if named else 24)


def corporate(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    named = name_of(text, start, end) == "corporate"
    return Hit("business_number", start, end, True, 21) if named else None
