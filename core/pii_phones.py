"""Phone numbers in a run of digits: Korean, American, of elsewhere, or named as one."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from core.pii_checks import digits_of
from core.pii_context import is_another, is_else, is_glued, name_of
from core.pii_kinds import Hit, Run, Text

_BEYOND = 3  # of what is looked at behind a run
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
    r"(?:(?<![A-Za-z0-9)])\+ ?|(?<!\d)(?<![A-Za-z\d]-)00(?=[1-9]\d{0,2}[ \-]))"
    r"[1-9]\d{0,2}[ \-.]?(?:\(\d{1,4}\)[ \-.]?)?"
    r"\d{1,5}(?:[ \-.]?\d{2,5}){1,5}(?!\d)"
)
_TRUNK = re.compile(  # United Kingdom and Japan as typed at home
    r"(?<!\d)(?<!\d-)(?:07\d{3} ?\d{3} ?\d{3}|020[ \-]\d{4}[ \-]\d{4}|01\d{2,3}[ \-]\d{3}[ \-]?\d{3,4}"
    r"|0[789]0-\d{4}-\d{4}|0[36]-\d{4}-\d{4})(?!\d)(?!-\d)"
)
_IN_HEX = re.compile(r"\d[a-f]$")


class PhoneForms(NamedTuple):
    """What a run can be by its form, where each digit is a 0; and where from its start one could be if it is named."""

    korean: bool
    american: bool
    at_home: bool
    named: tuple[tuple[int, int], ...]


_KOREAN_FORM = re.compile(rf"0{_PHONE_GAP}0{{3,4}}{_PHONE_GAP}0{{4}}(?!0)")
_AMERICAN_FORM = re.compile(r"000[)\-. ]{1,3}000[\-. ]0000(?!0)")
_TRUNK_FORM = re.compile(
    r"(?<!0)(?:0{11}|0{5} ?000 ?000|000[ \-]0000[ \-]0000|0{4,5}[ \-]000[ \-]?0{3,4}|00-0000-0000)(?!0)"
)
_NAMED_FORM = re.compile(r"(?<!0)(?<!0-)(?:0{7,15}|\(?0{2,5}(?:[\-.)]{0,2} ?0{2,5}){1,4})(?!0)")


def phone_forms(written: str) -> PhoneForms:
    named = (match.span() for match in _NAMED_FORM.finditer(written) if 7 <= match[0].count("0") <= 15)
    return PhoneForms(*(bool(one.search(written)) for one in (_KOREAN_FORM, _AMERICAN_FORM, _TRUNK_FORM)), tuple(named))


def phone(text: Text, run: Run, possible: PhoneForms) -> Iterator[Hit]:
    plain = text.plain
    start, end = max(run.first - _BEYOND, 0), min(run.last + _BEYOND, len(plain))
    around = plain[start:end]
    if possible.korean and ("0" in around or "82" in around):
        for match in _KOREAN.finditer(plain, start, end):
            bare = match[0].isdecimal()
            in_code = _IN_HEX.match(plain, max(0, match.start() - 2), match.start())
            if not in_code and not (bare and (is_glued(text, *match.span()) or is_another(text, match.start()))):
                yield Hit("phone", *match.span(), True, 22 if match["area"][0] == "1" else 25)
                if end - match.end() <= _BEYOND:
                    return
    if possible.american:
        yield from _american(text, start, end)
    from_far = "+" in around or ("00" in around and not run.bare)
    if from_far or (possible.at_home and "0" in around):
        yield from _abroad(text, start, end, from_far, possible.at_home)
    if run.bare and name_of(text, run.first, run.last) != "phone":
        return
    for first, last in possible.named:
        first, last = run.start + first, run.start + last
        if name_of(text, first, last) == "phone" and not is_else(text, first, last):
            yield Hit("phone", first, last, False, 27)


def _american(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _AMERICAN.finditer(text.plain, start, end):
        if (match[1] or "-") != " " or "+" in match[0] or name_of(text, *match.span()) == "phone":
            yield Hit("phone", *match.span(), True, 25)


def _abroad(text: Text, start: int, end: int, from_far: bool, at_home: bool) -> Iterator[Hit]:
    for pattern, possible in ((_TRUNK, at_home), (_ABROAD, from_far)):
        for match in pattern.finditer(text.plain, start, end) if possible else ():
            another = "+" not in match[0] and (is_glued(text, *match.span()) or is_another(text, match.start()))
            number = _without_what_follows(match[0]) if "+" in match[0] else match[0]
            if 8 <= len(digits_of(number)) <= 16 and not another:
                yield Hit("phone", match.start(), match.start() + len(number), True, 25)


def _without_what_follows(number: str) -> str:
    """Another number may stand behind it: none has more than 15 digits, 16 with a zero put in."""
    while len(digits_of(number)) > 16 and (shorter := re.sub(r"[ \-.]?\d+$", "", number)) != number:
        number = shorter
    return number
