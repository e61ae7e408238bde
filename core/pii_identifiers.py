"""Numbers that name a person, a card or a business in a run of digits."""

import re
from collections.abc import Iterator, Sequence

from core.pii_checks import LICENCE_REGIONS, brn_checksum, card_issuer, day_exists, digits_of, luhn, rrn_checksum
from core.pii_context import is_another, is_bank_name, is_glued, name_before, name_of
from core.pii_kinds import Hit, Run, Text

_NAMED_WITHIN = 40  # where the name of a number is looked for, and a little more
_GAP = r"[ \t]{0,2}[-./~_]?[ \t]{0,2}"
_BIRTH = r"(\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_HIDDEN = r"[*xX●○•◦■□#]"

_RRN = re.compile(rf"(?<!\d)(?<!\d-){_BIRTH}({_GAP})(\d)\d{{6}}(?!\d)(?!-\d)")
_HIDDEN_RRN = re.compile(
    rf"(?<!\d)(?<!\d-){_BIRTH}{_GAP}(?=(?:\d|{_HIDDEN}){{7}}(?!\d|{_HIDDEN}))(\d)?\d{{0,5}}{_HIDDEN}+"
)
_HIDDEN_TWICE = re.compile(r"([*x●○•◦■□#])\1")
_CARD = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:\d{13,19}|\d{4}(?P<a>[ .]| ?- ?)\d{4}(?P=a)\d{4}(?P=a)\d{4}(?:(?P=a)\d{1,3})?"
    r"|\d{4}(?P<b>[ .]| ?- ?)\d{6}(?P=b)\d{4,5}|\d{4}(?P<c>[ .]| ?- ?)\d{4}(?P=c)\d{4}(?P=c)\d{1,3})(?!\d)(?!-\d)"
)
_LICENCE = re.compile(r"(?<!\d)(?<!\d-)(\d{2})( ?- ?| )?\d{2}( ?- ?| )?\d{6}( ?- ?| )?\d{2}(?!\d)(?!-\d)")
_OLD_LICENCE = re.compile(r"\d{2}[ \-]{0,2}\d{6}[ \-]{0,2}\d{2}(?!\d)(?!-\d)")
_PROVINCE = re.compile(
    r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)[ \-]{0,2}$"
)
_SSN = re.compile(r"(?<!\d)(?<!\d-)(?!000|666|9)\d{3}([- ]?)(?!00)\d{2}\1(?!0000)\d{4}(?!\d)(?!-\d)")
_BUSINESS = re.compile(r"(?<!\d)(?<!\d-)\d{3}( ?- ?| )?\d{2}( ?- ?| )?\d{5}(?!\d)(?!-\d)")
_CORPORATE = re.compile(r"(?<!\d)(?<!\d-)\d{6} ?- ?\d{7}(?!\d)(?!-\d)")


# the least that a run must hold to be one of these, where each digit is a 0
RRN_FORM = re.compile(rf"(?<!0)0{{6}}{_GAP}0{{7}}(?!0)")
CARD_FORM = re.compile(
    r"(?<!0)(?:0{13,19}(?!0)|0000[ .-]{1,3}(?:0000[ .-]{1,3}0000[ .-]{1,3}0{1,4}|0{6}[ .-]{1,3}0{4,5})(?!0))"
)
LICENCE_FORM = re.compile(r"(?<!0)00[ -]{0,3}00[ -]{0,3}0{6}[ -]{0,3}00(?!0)|^00[ -]{0,2}0{6}[ -]{0,2}00(?!0)")
SSN_FORM = re.compile(r"(?<!0)000([ -]?)00(?:\1)0000(?!0)")
BUSINESS_FORM = re.compile(r"(?<!0)(?:000[ -]{0,3}00[ -]{0,3}00000|0{6}[ -]{1,3}0{7})(?!0)")


def hidden_rrn(text: Text) -> list[Hit]:
    """With its end masked by hand: the birthday is left, and often the sex."""
    if not _HIDDEN_TWICE.search(text.lower):
        return []
    return [
        Hit("frn" if (match[4] or "0") in "5678" else "rrn", *match.span(), False, 10)
        for match in _HIDDEN_RRN.finditer(text.plain)
    ]


def rrn(text: Text, run: Run) -> Iterator[Hit]:
    for match in _RRN.finditer(text.plain, run.start, run.end):
        name, checked = name_of(text, *match.span()), rrn_checksum(digits_of(match[0]))
        bare = not match[4]
        if name == "corporate" or (bare and name != "rrn" and not _stands_alone(text, match)):
            continue
        if bare and name == "bank_account" and not checked:
            continue
        yield Hit("frn" if match[5] in "5678" else "rrn", *match.span(), checked or name == "rrn", 10)


def _stands_alone(text: Text, match: re.Match[str]) -> bool:
    """Thirteen bare digits: a day that exists, no letter or decimal point beside them, no word for another number."""
    day = day_exists(int(match[2]), int(match[3]))
    return day and not is_glued(text, match) and not is_another(text, match.start())


def card(text: Text, run: Run) -> Iterator[Hit]:
    for match in _CARD.finditer(text.plain, run.start, run.end):
        digits = digits_of(match[0])
        if card_issuer(digits) and luhn(digits):
            named = name_of(text, *match.span()) == "card"
            bare = len(digits) == len(match[0])
            if named or not bare or not (is_glued(text, match) or is_another(text, match.start())):
                yield Hit("card", *match.span(), named or not bare, 11)


def licence(text: Text, run: Run) -> Iterator[Hit]:
    for match in _LICENCE.finditer(text.plain, run.start, run.end):
        named = name_of(text, *match.span()) == "driver_licence"
        if match[1] in LICENCE_REGIONS and (named or _with_hyphens(text, match, match.group(2, 3, 4))):
            yield Hit("driver_licence", *match.span(), named, 13)
    province = _PROVINCE.search(text.plain, max(0, run.first - 5), run.first)
    old = _OLD_LICENCE.match(text.plain, province.end()) if province else None
    if province and old:
        yield Hit("driver_licence", province.start(), old.end(), False, 13)


def _with_hyphens(text: Text, match: re.Match[str], gaps: Sequence[str | None]) -> bool:
    """Grouped as this kind is, and named as nothing else."""
    if not all(gap and "-" in gap for gap in gaps) or name_before(text.lower, match.start()) == "bank_account":
        return False
    return not is_bank_name(text, match.start()) and not is_another(text, match.start())


def ssn(text: Text, run: Run) -> Iterator[Hit]:
    for match in _SSN.finditer(text.plain, run.start, run.end):
        named = name_of(text, *match.span()) == "ssn"
        if named or _with_hyphens(text, match, match.group(1, 1)):
            yield Hit("ssn", *match.span(), named, 14)


def business(text: Text, run: Run) -> Iterator[Hit]:
    for match in _BUSINESS.finditer(text.plain, run.start, run.end):
        named = name_of(text, *match.span()) == "business_number"
        if named or _with_hyphens(text, match, match.group(1, 2)):
            yield Hit("business_number", *match.span(), brn_checksum(digits_of(match[0])), 21 if named else 24)
    near = max(0, run.start - _NAMED_WITHIN), run.end + _NAMED_WITHIN
    if text.lower.find("법인", *near) >= 0 or text.lower.find("corporate", *near) >= 0:
        for match in _CORPORATE.finditer(text.plain, run.start, run.end):
            if name_of(text, *match.span()) == "corporate":
                yield Hit("business_number", *match.span(), True, 21)
