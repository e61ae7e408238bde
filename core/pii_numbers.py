"""Personal data that is a run of digits: found first as a run, then tried as each kind."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence

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
from core.pii_context import PASSPORT, is_another, is_bank_name, is_model, is_near, name_before, name_of
from core.pii_kinds import ALL, Hit, Text

# Hangul is \w, so \b never stands between a number and the particle after it: boundaries are digits, here as below.
_RUN = re.compile(r"\d(?:[ \t\-.()/~_]{0,3}\d){6,}")
_DIGITS = re.compile(r"\d+")
_SEEN_BEFORE = 3  # +, ( and a space belong to a number
_SEEN_BEYOND = 3  # less than what would reach into the next run
_NAMED_WITHIN = 40  # where the name of a number is looked for, and a little more
_GAP = r"[ \t]{0,2}[-./~_]?[ \t]{0,2}"
_BIRTH = r"(\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_HIDDEN = r"[*xX●○•◦■□#]"

_RRN = re.compile(rf"(?<!\d)(?<!\d-){_BIRTH}({_GAP})(\d)\d{{6}}(?!\d)(?!-\d)")
_HIDDEN_RRN = re.compile(
    rf"(?<!\d)(?<!\d-){_BIRTH}{_GAP}(?=(?:\d|{_HIDDEN}){{7}}(?!\d|{_HIDDEN}))(\d)?\d{{0,5}}{_HIDDEN}+"
)
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
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Za-z]\d{3}[A-Za-z]\d{4}|[A-Za-z]{1,2}[ -]?\d{7,8}|\d{9})(?![A-Za-z0-9])(?!-\d)"
)

_PHONE_GAP = r"[ \t]{0,2}[-.)/~_]?[ \t]{0,2}"
_KOREAN = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:(?:(?:\+ ?|00)82|82(?=[ \-.(]|10\d{8}(?!\d)))[ \-.)]{0,2}(?:\(0\)[ \-]?|\(?0)?|\(?0)"
    rf"(?P<area>1[016-9]|2|[3-6][1-5]|70|80|50[2-8]?){_PHONE_GAP}\d{{3,4}}{_PHONE_GAP}\d{{4}}(?!\d)(?!-\d)"
)
# the commonest number of all, which nothing else looks like
_MOBILE = re.compile(r"010[-. ]\d{4}[-. ]\d{4}")
_AMERICAN = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:\+?1[ \-.]{0,2})?(?:\([2-9]\d{2}\)[ \-.]{0,2}|[2-9]\d{2}([\-. ]))"
    r"[2-9]\d{2}[\-. ]\d{4}(?!\d)(?![\-.]\d)"
)
_ABROAD = re.compile(
    r"(?:(?<![A-Za-z0-9)])\+ ?|(?<!\d)(?<![A-Za-z\d]-)00(?=[1-9]\d{0,2}[ \-]))"
    r"[1-9]\d{0,2}[ \-.]?(?:\(\d{1,4}\)[ \-.]?)?"
    r"\d{1,5}(?:[ \-.]?\d{2,5}){1,5}(?!\d)"
)
_TRUNK = re.compile(  # United Kingdom and Japan as typed at home
    r"(?<!\d)(?<!\d-)(?:07\d{3} ?\d{3} ?\d{3}|020[ \-]\d{4}[ \-]\d{4}|01\d{2,3}[ \-]\d{3}[ \-]?\d{3,4}"
    r"|0[789]0-\d{4}-\d{4}|0[36]-\d{4}-\d{4})(?!\d)(?!-\d)"
)
_NAMED = re.compile(r"(?<!\d)(?<!\d-)(?:\d{7,15}|\(?\d{2,5}(?:[\-.)]{0,2} ?\d{2,5}){1,4})(?!\d)")
_ACCOUNT = re.compile(r"(?<!\d)(?<!\d[.,])(?:\d{8,17}|\d{2,7}(?P<gap> ?- ?| )\d{1,8}(?:(?P=gap)\d{1,8}){0,3})(?!\d)")
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    r"(?:19|20)\d{2} ?[-~] ?(?:19|20)\d{2}$|"
    rf"(?:19|20)\d{{2}}([-./ ])(?:0?[1-9]|1[0-2])\1{_DAY}(?!\d)"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[ _-]?\d{4,6})?$"
)

_GLUE_BEFORE = re.compile(r".?[A-Za-z_]$|\d[.,]$", re.DOTALL)
_IN_HEX = re.compile(r"\d[a-f]$")
_GLUE_AFTER = re.compile(r"[A-Za-z_]")

Detector = Callable[[Text, int, int], Iterator[Hit]]
InRun = tuple[frozenset[str], int, int, Detector]


def numbers(text: Text, kinds: Collection[str]) -> Iterator[Hit]:
    """Every kind in every run of seven digits and more, until one takes a whole run and no later one outranks it."""
    tried = _IN_RUNS if kinds is ALL else [one for one in _IN_RUNS if not one[0].isdisjoint(kinds)]
    for run in _RUN.finditer(text.plain):
        first, last = run.span()
        if "phone" in kinds and _MOBILE.fullmatch(run[0]) and not is_bank_name(text, first):
            yield Hit("phone", first, last, True, 22)
            continue
        start, end = max(first - _SEEN_BEFORE, 0), min(last + _SEEN_BEYOND, len(text.plain))
        digits = last - first if run[0].isdecimal() else sum(map(str.isdigit, run[0]))
        needs_no_name = _NEEDS_NO_NAME if digits == last - first and _formless(text, run) else _WORST
        only, whole = _BY_SHAPE.get(tuple(map(len, _DIGITS.findall(run[0])))), _WORST
        for _, least, best, detector in tried:
            if whole < best or best > needs_no_name:
                break
            if digits >= least and (only is None or detector in only):
                for hit in detector(text, start, end):
                    yield hit
                    if hit.start <= first and last <= hit.end:
                        whole = min(whole, hit.rank)


def _formless(text: Text, run: re.Match[str]) -> bool:
    """Bare digits that nothing names, nor begin as a phone number does: with a check digit or a birthday at most."""
    if run[0][0] == "0" or run[0].startswith("82"):
        return False
    before = text.plain[max(0, run.start() - 2) : run.start()]
    return "+" not in before and not name_of(text, *run.span()) and not is_bank_name(text, run.start())


def hidden_rrn(text: Text) -> Iterator[Hit]:
    """With its end masked by hand: the birthday is left, and often the sex."""
    for match in _HIDDEN_RRN.finditer(text.plain):
        yield Hit("frn" if (match[4] or "0") in "5678" else "rrn", *match.span(), False, 10)


def named_passport(text: Text) -> Iterator[Hit]:
    for match in _PASSPORT.finditer(text.plain):
        another = is_another(text, match.start()) or is_model(text, match.end())
        if not another and _is_passport(text, match):
            yield Hit("passport", *match.span(), True, 12)


def _is_passport(text: Text, match: re.Match[str]) -> bool:
    """Nine digits are so many things that the nearest word has to say it; with letters, one near by is enough."""
    if match[0].isdecimal():
        return name_of(text, *match.span()) == "passport"
    return is_near(text, PASSPORT, *match.span())


def _rrn(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _RRN.finditer(text.plain, start, end):
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
    return day and not _glued(text, match) and not is_another(text, match.start())


def _card(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _CARD.finditer(text.plain, start, end):
        digits = digits_of(match[0])
        if card_issuer(digits) and luhn(digits):
            named = name_of(text, *match.span()) == "card"
            bare = len(digits) == len(match[0])
            if named or not bare or not (_glued(text, match) or is_another(text, match.start())):
                yield Hit("card", *match.span(), named or not bare, 11)


def _licence(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _LICENCE.finditer(text.plain, start, end):
        named = name_of(text, *match.span()) == "driver_licence"
        if match[1] in LICENCE_REGIONS and (named or _with_hyphens(text, match, match.group(2, 3, 4))):
            yield Hit("driver_licence", *match.span(), named, 13)
    province = _PROVINCE.search(text.plain, max(0, start - 2), start + _SEEN_BEFORE)
    old = _OLD_LICENCE.match(text.plain, province.end()) if province else None
    if province and old:
        yield Hit("driver_licence", province.start(), old.end(), False, 13)


def _with_hyphens(text: Text, match: re.Match[str], gaps: Sequence[str | None]) -> bool:
    """Grouped as this kind is, and named as nothing else."""
    if not all(gap and "-" in gap for gap in gaps) or name_before(text.lower, match.start()) == "bank_account":
        return False
    return not is_bank_name(text, match.start()) and not is_another(text, match.start())


def _ssn(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _SSN.finditer(text.plain, start, end):
        named = name_of(text, *match.span()) == "ssn"
        if named or _with_hyphens(text, match, match.group(1, 1)):
            yield Hit("ssn", *match.span(), named, 14)


def _business(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _BUSINESS.finditer(text.plain, start, end):
        named = name_of(text, *match.span()) == "business_number"
        if named or _with_hyphens(text, match, match.group(1, 2)):
            yield Hit("business_number", *match.span(), brn_checksum(digits_of(match[0])), 21 if named else 24)
    near = max(0, start - _NAMED_WITHIN), end + _NAMED_WITHIN
    if text.lower.find("법인", *near) >= 0 or text.lower.find("corporate", *near) >= 0:
        for match in _CORPORATE.finditer(text.plain, start, end):
            if name_of(text, *match.span()) == "corporate":
                yield Hit("business_number", *match.span(), True, 21)


def _phone(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _KOREAN.finditer(text.plain, start, end):
        bare = match[0].isdecimal()
        in_code = _IN_HEX.match(text.plain, max(0, match.start() - 2), match.start())
        if not in_code and not (bare and (_glued(text, match) or is_another(text, match.start()))):
            yield Hit("phone", *match.span(), True, 22 if match["area"][0] == "1" else 25)
            if end - match.end() <= _SEEN_BEYOND:
                return
    yield from _phone_abroad(text, start, end)
    for match in _NAMED.finditer(text.plain, start, end):
        if (
            name_of(text, *match.span()) == "phone"
            and 7 <= len(digits_of(match[0])) <= 15
            and not _is_else(text, match)
        ):
            yield Hit("phone", *match.span(), False, 27)


def _phone_abroad(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _AMERICAN.finditer(text.plain, start, end):
        if (match[1] or "-") != " " or "+" in match[0] or name_of(text, *match.span()) == "phone":
            yield Hit("phone", *match.span(), True, 25)
    if text.plain.find("0", start, end) >= 0 or text.plain.find("+", start, end) >= 0:
        for pattern in (_TRUNK, _ABROAD):
            for match in pattern.finditer(text.plain, start, end):
                another = "+" not in match[0] and (_glued(text, match) or is_another(text, match.start()))
                number = _without_what_follows(match[0]) if "+" in match[0] else match[0]
                if 8 <= len(digits_of(number)) <= 16 and not another:
                    yield Hit("phone", match.start(), match.start() + len(number), True, 25)


def _without_what_follows(number: str) -> str:
    """Another number may stand behind it: none has more than 15 digits, 16 with a zero put in."""
    while len(digits_of(number)) > 16 and (shorter := re.sub(r"[ \-.]?\d+$", "", number)) != number:
        number = shorter
    return number


def _is_else(text: Text, match: re.Match[str]) -> bool:
    return (
        bool(_DATE.match(match[0])) or is_another(text, match.start()) or _glued(text, match) or _is_amount(text, match)
    )


def _iban(text: Text, start: int, end: int) -> Iterator[Hit]:
    """Its run of digits stands behind letters of its own."""
    if text.plain[start : start + _SEEN_BEFORE].strip()[-1:].isupper():
        for match in _IBAN.finditer(text.plain, max(0, start - 8), min(end + 8, len(text.plain))):
            if iban(match[0].replace(" ", "")):
                yield Hit("bank_account", *match.span(), True, 5)


def _account(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _ACCOUNT.finditer(text.plain, start, end):
        if 8 <= len(digits_of(match[0])) <= 17:
            bank = is_bank_name(text, match.start())
            named = not bank and name_of(text, *match.span()) == "bank_account" and not _is_else(text, match)
            if named or (bank and not _is_amount(text, match)):
                yield Hit("bank_account", *match.span(), bank, 20 if bank else 23)


def _is_amount(text: Text, match: re.Match[str]) -> bool:
    return text.plain[match.end() : match.end() + 2].lstrip()[:1] in ("원", "%", "개", "명")


def _glued(text: Text, match: re.Match[str]) -> bool:
    """To a letter or a digit with a point: part of a model number, a name in code, or a fraction."""
    start, end = match.span()
    return bool(_GLUE_BEFORE.match(text.plain, max(0, start - 2), start) or _GLUE_AFTER.match(text.plain, end))


_NEEDS_NO_NAME, _WORST = 11, 100
# kind | the least digits that make one | the best rank it can have, ascending | who finds it
_IN_RUNS: tuple[InRun, ...] = (
    (frozenset({"bank_account"}), 8, 5, _iban),
    (frozenset({"rrn", "frn"}), 13, 10, _rrn),
    (frozenset({"card"}), 13, 11, _card),
    (frozenset({"driver_licence"}), 10, 13, _licence),
    (frozenset({"ssn"}), 9, 14, _ssn),
    (frozenset({"bank_account"}), 8, 20, _account),
    (frozenset({"business_number"}), 10, 21, _business),
    (frozenset({"phone"}), 7, 22, _phone),
)
# what a run of groups of these many digits can only be; of other shapes it may be anything, or several
_BY_SHAPE: dict[tuple[int, ...], frozenset[Detector]] = {
    shape: frozenset({_iban, _account, *others})
    for shape, others in (
        ((6, 7), {_rrn, _business}),
        ((4, 4, 4, 4), {_card}),
        ((4, 6, 5), {_card}),
        ((2, 2, 6, 2), {_licence}),
        ((3, 2, 4), {_ssn, _phone}),
        ((3, 2, 5), {_business, _phone}),
        ((3, 4, 4), {_phone}),
        ((3, 3, 4), {_phone}),
        ((2, 4, 4), {_phone}),
        ((2, 3, 4), {_phone}),
        ((2, 2, 4, 4), {_phone}),
        ((1, 3, 3, 4), {_phone}),
    )
}
