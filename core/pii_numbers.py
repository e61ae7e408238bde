"""Personal data that is a run of digits: found first as a run, then tried as each kind."""

import re
from collections.abc import Callable, Collection, Iterator

from core.pii_checks import (
    LICENCE_REGIONS,
    brn_checksum,
    card_issuer,
    day_exists,
    digits_of,
    iban,
    luhn,
    rrn_checksum,
)
from core.pii_context import (
    BANK,
    BANK_NAME,
    BUSINESS,
    CARD,
    CORPORATE,
    LICENCE,
    ORDER,
    PASSPORT,
    PHONE,
    RESIDENT,
    SOCIAL,
    Words,
)
from core.pii_kinds import Hit, Text

# Hangul is \w, so \b never stands between a number and the particle after it: boundaries are digits, here as below.
_RUN = re.compile(r"\d(?:[ \t\-.()/~_]{0,3}\d){6,}")
_SEEN_BEFORE = 3  # +, ( and a space belong to a number
_SEEN_BEYOND = 3  # less than what would reach into the next run
_GAP = r"[ \t]{0,2}[-./~_]?[ \t]{0,2}"
_BIRTH = r"(\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_HIDDEN = r"[*xX●○•◦■□#]"
_HIDDEN_TWICE = tuple(2 * character for character in "*x●○•◦■□#")

_RRN = re.compile(rf"(?<!\d)(?<!\d-){_BIRTH}({_GAP})(\d)\d{{6}}(?!\d)(?!-\d)")
_HIDDEN_RRN = re.compile(
    rf"(?<!\d)(?<!\d-){_BIRTH}{_GAP}(?=(?:\d|{_HIDDEN}){{7}}(?!\d|{_HIDDEN}))(\d)?\d{{0,5}}{_HIDDEN}+"
)
_CARD = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:\d{13,19}|\d{4}(?P<a>[ .\-]|[ ]-[ ])\d{4}(?P=a)\d{4}(?P=a)\d{4}(?:(?P=a)\d{1,3})?"
    r"|\d{4}(?P<b>[ .\-])\d{6}(?P=b)\d{4,5}|\d{4}(?P<c>[ .\-])\d{4}(?P=c)\d{4}(?P=c)\d{1,3})(?!\d)(?!-\d)"
)
_LICENCE = re.compile(
    r"(?<!\d)(?<!\d-)(\d{2})([ \-]|[ ]-[ ])?\d{2}([ \-]|[ ]-[ ])?\d{6}([ \-]|[ ]-[ ])?\d{2}(?!\d)(?!-\d)"
)
_OLD_LICENCE = re.compile(
    r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)"
    r"[ \-]{0,2}(\d{2})[ \-]{0,2}\d{6}[ \-]{0,2}\d{2}(?!\d)(?!-\d)"
)
_SSN = re.compile(r"(?<!\d)(?<!\d-)(?!000|666|9)\d{3}([- ]?)(?!00)\d{2}\1(?!0000)\d{4}(?!\d)(?!-\d)")
_BUSINESS = re.compile(r"(?<!\d)(?<!\d-)\d{3}( ?- ?| )?\d{2}( ?- ?| )?\d{5}(?!\d)(?!-\d)")
_CORPORATE = re.compile(r"(?<!\d)(?<!\d-)\d{6} ?- ?\d{7}(?!\d)(?!-\d)")
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Za-z]\d{3}[A-Za-z]\d{4}|[A-Za-z]{1,2}[ -]?\d{7,8}|\d{9})(?![A-Za-z0-9])(?!-\d)"
)

_PHONE_GAP = r"[ \t]{0,2}[-.)/~_]?[ \t]{0,2}"
_KOREAN = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:(?:(?:\+ ?|00)82|82(?=[ \-.(]|10\d{8}(?!\d)))[ \-.)]{0,2}(?:\(0\)[ \-]?|\(?0)?|\(?0)"
    rf"(?P<area>1[016-9]|2|[3-6][1-5]|70|80|50[2-8]?){_PHONE_GAP}\d{{3,4}}{_PHONE_GAP}\d{{4}}(?!\d)(?!-\d)"
)
_AMERICAN = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:\+?1[ \-.]{0,2})?(?:\([2-9]\d{2}\)[ \-.]{0,2}|[2-9]\d{2}([\-. ]))"
    r"[2-9]\d{2}[\-. ]\d{4}(?!\d)(?![\-.]\d)"
)
_ABROAD = re.compile(
    r"(?:(?<![A-Za-z0-9)])\+ ?|(?<!\d)00(?=[1-9]\d{0,2}[ \-]))[1-9]\d{0,2}[ \-.]?(?:\(\d{1,4}\)[ \-.]?)?"
    r"\d{1,5}(?:[ \-.]?\d{2,5}){1,5}(?!\d)"
)
_TRUNK = re.compile(  # United Kingdom and Japan as typed at home
    r"(?<!\d)(?<!\d-)(?:07\d{3} ?\d{3} ?\d{3}|020[ \-]\d{4}[ \-]\d{4}|01\d{2,3}[ \-]\d{3}[ \-]?\d{3,4}"
    r"|0[789]0-\d{4}-\d{4}|0[36]-\d{4}-\d{4})(?!\d)(?!-\d)"
)
_NAMED = re.compile(r"(?<!\d)\(?\d(?:[ \-.()]{0,2}\d){6,14}(?!\d)")
_ACCOUNT = re.compile(r"(?<!\d)(?:\d{2,7}(?: ?[\- ] ?\d{1,8}){1,4}|\d{8,17})(?!\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_DATE = re.compile(
    r"(?:19|20)\d{2}([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)|(?:19|20)\d{6}(?:[ _-]?\d{4,6})?$"
)

Detector = Callable[[Text, int, int], Iterator[Hit]]


def numbers(text: Text, kinds: Collection[str]) -> Iterator[Hit]:
    """Every kind in every run of seven digits and more."""
    detectors = [(least, detector) for theirs, least, detector in _IN_RUNS if not theirs.isdisjoint(kinds)]
    for run in _RUN.finditer(text.plain):
        digits = sum(map(str.isdigit, run[0]))
        start, end = max(run.start() - _SEEN_BEFORE, 0), min(run.end() + _SEEN_BEYOND, len(text.plain))
        for least, detector in detectors:
            if digits >= least:
                yield from detector(text, start, end)


def hidden_rrn(text: Text) -> Iterator[Hit]:
    """With its end masked by hand: the birthday is left, and often the sex."""
    if any(twice in text.lower for twice in _HIDDEN_TWICE):
        for match in _HIDDEN_RRN.finditer(text.plain):
            yield Hit("frn" if (match[4] or "0") in "5678" else "rrn", *match.span(), False, 10)


def named_passport(text: Text) -> Iterator[Hit]:
    if PASSPORT.anywhere(text):
        for match in _PASSPORT.finditer(text.plain):
            if PASSPORT.around(text, *match.span()):
                yield Hit("passport", *match.span(), True, 12)


def old_licence(text: Text) -> Iterator[Hit]:
    for match in _OLD_LICENCE.finditer(text.plain):
        yield Hit("driver_licence", *match.span(), LICENCE.around(text, *match.span()), 13)


def international_account(text: Text) -> Iterator[Hit]:
    for match in _IBAN.finditer(text.plain):
        if iban(match[0].replace(" ", "")):
            yield Hit("bank_account", *match.span(), True, 20)


def _rrn(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _RRN.finditer(text.plain, start, end):
        named = RESIDENT.around(text, *match.span())
        if not named and (CORPORATE.around(text, *match.span()) or (not match[4] and not _stands_alone(text, match))):
            continue
        certain = named or rrn_checksum(digits_of(match[0]))
        yield Hit("frn" if match[5] in "5678" else "rrn", *match.span(), certain, 10)


def _stands_alone(text: Text, match: re.Match[str]) -> bool:
    """Thirteen bare digits: a day that exists, no letter or decimal point beside them, no word for another number."""
    start, end = match.span()
    beside = text.plain[max(0, start - 1) : start] + text.plain[end : end + 1]
    decimal = text.plain[max(0, start - 2) : start]
    return (
        day_exists(int(match[2]), int(match[3]))
        and not re.search(r"[A-Za-z_]", beside)
        and not re.fullmatch(r"\d[.,]", decimal)
        and not ORDER.around(text, start, end)
    )


def _card(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _CARD.finditer(text.plain, start, end):
        digits = digits_of(match[0])
        if card_issuer(digits) and luhn(digits):
            named = CARD.around(text, *match.span())
            bare = len(digits) == len(match[0])
            if named or not bare or not (_glued(text, match) or ORDER.around(text, *match.span())):
                yield Hit("card", *match.span(), named or not bare, 11)


def _licence(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _LICENCE.finditer(text.plain, start, end):
        named = LICENCE.around(text, *match.span())
        hyphens = all(gap and "-" in gap for gap in match.group(2, 3, 4))
        if match[1] in LICENCE_REGIONS and (named or (hyphens and not _is_other(text, match))):
            yield Hit("driver_licence", *match.span(), named, 13)


def _is_other(text: Text, match: re.Match[str]) -> bool:
    return ORDER.around(text, *match.span()) or BANK.around(text, *match.span())


def _ssn(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _SSN.finditer(text.plain, start, end):
        named = SOCIAL.around(text, *match.span())
        if named or (match[1] == "-" and not ORDER.around(text, *match.span())):
            yield Hit("ssn", *match.span(), named, 14)


def _business(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _BUSINESS.finditer(text.plain, start, end):
        named = BUSINESS.around(text, *match.span())
        hyphens = all(gap and "-" in gap for gap in match.group(1, 2))
        if named or (hyphens and not _is_other(text, match)):
            yield Hit("business_number", *match.span(), brn_checksum(digits_of(match[0])), 21 if named else 24)
    if _named(CORPORATE, text, start, end):
        for match in _CORPORATE.finditer(text.plain, start, end):
            yield Hit("business_number", *match.span(), True, 21)


def _phone(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _KOREAN.finditer(text.plain, start, end):
        if not _glued(text, match):
            yield Hit("phone", *match.span(), True, 22 if match["area"][0] == "1" else 25)
    for pattern in (_TRUNK, _ABROAD):
        for match in pattern.finditer(text.plain, start, end):
            if 8 <= len(digits_of(match[0])) <= 16 and not _glued(text, match):
                yield Hit("phone", *match.span(), True, 25)
    named = _named(PHONE, text, start, end)
    for match in _AMERICAN.finditer(text.plain, start, end):
        if named or (match[1] or "-") != " " or "+" in match[0]:
            yield Hit("phone", *match.span(), True, 25)
    if named:
        yield from _named_phone(text, start, end)


def _named_phone(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _NAMED.finditer(text.plain, start, end):
        if PHONE.around(text, *match.span()) and not _DATE.match(match[0]) and not ORDER.around(text, *match.span()):
            yield Hit("phone", *match.span(), False, 27)


def _account(text: Text, start: int, end: int) -> Iterator[Hit]:
    if not (_named(BANK, text, start, end) or _named(BANK_NAME, text, start, end)):
        return
    for match in _ACCOUNT.finditer(text.plain, start, end):
        if 8 <= len(digits_of(match[0])) <= 17 and not _DATE.match(match[0]) and not _is_amount(text, match):
            if BANK_NAME.around(text, *match.span()):
                yield Hit("bank_account", *match.span(), True, 20)
            elif BANK.around(text, *match.span()) and not ORDER.around(text, *match.span()):
                yield Hit("bank_account", *match.span(), False, 23)


def _named(words: Words, text: Text, start: int, end: int) -> bool:
    """Whether the words stand beside a whole run."""
    return words.around(text, start + _SEEN_BEFORE, end - _SEEN_BEYOND)


def _is_amount(text: Text, match: re.Match[str]) -> bool:
    return text.plain[match.end() : match.end() + 2].lstrip()[:1] in ("원", "₩", "$", "%", "개", "명")


def _glued(text: Text, match: re.Match[str]) -> bool:
    """To a letter or a digit with a point: part of a model number, a name in code, or a fraction."""
    start, end = match.span()
    return bool(re.search(r"[A-Za-z_]$|\d[.,]$", text.plain[max(0, start - 2) : start])) or bool(
        re.match(r"[A-Za-z_]", text.plain[end : end + 1])
    )


# kind | the least digits that make one | who finds it
_IN_RUNS: tuple[tuple[frozenset[str], int, Detector], ...] = (
    (frozenset({"rrn", "frn"}), 13, _rrn),
    (frozenset({"card"}), 13, _card),
    (frozenset({"driver_licence"}), 12, _licence),
    (frozenset({"ssn"}), 9, _ssn),
    (frozenset({"business_number"}), 10, _business),
    (frozenset({"phone"}), 7, _phone),
    (frozenset({"bank_account"}), 8, _account),
)
