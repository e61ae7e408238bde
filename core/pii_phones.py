"""Phone numbers in a run of digits: Korean, American, of elsewhere, or named as one."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from core.pii_checks import digits_of
from core.pii_context import is_another, is_else, is_glued
from core.pii_kinds import Hit, Run, Text
from core.pii_names import name_of

_BEYOND = 3  # of what is looked at beside a run
_BEGIN = "08"  # a number in Korea or the trunk of another country; 82 is Korea
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
_SAID = r"[\d공영일이삼사오육륙칠팔구]"
_SPOKEN = re.compile(rf"[공영]일[공영일육륙칠팔구][ \-.,~]{{0,3}}{_SAID}{{3,4}}[ \-.,~]{{0,3}}{_SAID}{{4}}(?!\d)")
_IN_HEX = re.compile(r"\d[a-f]$")


class PhoneForms(NamedTuple):
    """What a run can be by its form, where each digit is a 0.

    `begins` is where from its start a number dialled in Korea or at home could, `named` where one could be if named.
    """

    korean: bool
    american: bool
    at_home: bool
    begins: tuple[int, ...]
    named: tuple[tuple[int, int], ...]


_KOREAN_FORM = re.compile(rf"0{_PHONE_GAP}0{{3,4}}{_PHONE_GAP}0{{4}}(?!0)")
_AMERICAN_FORM = re.compile(r"000[)\-. ]{1,3}000[\-. ]0000(?!0)")
_TRUNK_FORM = re.compile(
    r"(?<!0)(?:0{11}|0{5} ?000 ?000|000[ \-]0000[ \-]0000|0{4,5}[ \-]000[ \-]?0{3,4}|00-0000-0000)(?!0)"
)
_BEGIN_FORM = re.compile(r"(?<!0)(?<!0-)0")
_NAMED_FORM = re.compile(r"(?<!0)(?<!0-)(?:0{7,15}|\(?0{2,5}(?:[\-.)]{0,2} ?0{2,5}){1,4})(?!0)")


def phone_forms(written: str) -> PhoneForms:
    named = tuple(match.span() for match in _NAMED_FORM.finditer(written) if 7 <= match[0].count("0") <= 15)
    korean, american, at_home = (bool(form.search(written)) for form in (_KOREAN_FORM, _AMERICAN_FORM, _TRUNK_FORM))
    begins = tuple(match.start() for match in _BEGIN_FORM.finditer(written)) if korean or at_home else ()
    return PhoneForms(korean, american, at_home, begins, named)


def phone(text: Text, run: Run, possible: PhoneForms) -> list[Hit]:
    plain, hits = text.plain, []
    start, end = max(run.first - _BEYOND, 0), min(run.last + _BEYOND, len(plain))
    if any([plain[run.start + begin] in _BEGIN for begin in possible.begins]):  # noqa: C419 (a list of one, mostly)
        if possible.korean:
            for match in _KOREAN.finditer(plain, start, end):
                if not _is_part(text, match):
                    hits.append(Hit("phone", *match.span(), True, 22 if match["area"][0] == "1" else 25))
                    if end - match.end() <= _BEYOND:
                        return hits
        if possible.at_home:
            hits.extend(_abroad(text, _TRUNK, start, end))
    if possible.american:
        hits.extend(_american(text, start, end))
    around = plain[start:end]
    if "+" in around or (not run.bare and "00" in around):
        hits.extend(_abroad(text, _ABROAD, start, end))
    if run.bare and name_of(text, run.first, run.last) != "phone":
        return hits
    for begin, behind in possible.named:
        first, last = run.start + begin, run.start + behind
        if name_of(text, first, last) == "phone" and not is_else(text, first, last):
            hits.append(Hit("phone", first, last, False, 27))
    return hits


def _is_part(text: Text, match: re.Match[str]) -> bool:
    """Of a code in hexadecimal; or, without anything between its digits, of what is no number or another one."""
    start, end = match.span()
    if _IN_HEX.match(text.plain, start - 2, start):
        return True
    return match[0].isdecimal() and (is_glued(text, start, end) or is_another(text, start))


def _american(text: Text, start: int, end: int) -> Iterator[Hit]:
    for match in _AMERICAN.finditer(text.plain, start, end):
        if (match[1] or "-") != " " or "+" in match[0] or name_of(text, *match.span()) == "phone":
            yield Hit("phone", *match.span(), True, 25)


def _abroad(text: Text, pattern: re.Pattern[str], start: int, end: int) -> Iterator[Hit]:
    for match in pattern.finditer(text.plain, start, end):
        another = "+" not in match[0] and (is_glued(text, *match.span()) or is_another(text, match.start()))
        number = _without_what_follows(match[0]) if "+" in match[0] else match[0]
        if 8 <= len(digits_of(number)) <= 16 and not another:
            yield Hit("phone", match.start(), match.start() + len(number), True, 25)


def _without_what_follows(number: str) -> str:
    """Another number may stand behind it: none has more than 15 digits, 16 with a zero put in."""
    while len(digits_of(number)) > 16 and (shorter := re.sub(r"[ \-.]?\d+$", "", number)) != number:
        number = shorter
    return number


def spoken_phones(text: Text) -> list[Hit]:
    """A Korean mobile number in words, all of it or the beginning: 공일공-1234-5678."""
    if "공일" not in text.plain and "영일" not in text.plain:
        return []
    return [Hit("phone", *match.span(), True, 22) for match in _SPOKEN.finditer(text.plain)]
