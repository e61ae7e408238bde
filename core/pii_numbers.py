"""Personal data that is a run of digits: found first as a run, then tried as each kind that its form allows."""

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import NamedTuple

from core.pii_accounts import ACCOUNT_DIGITS, ACCOUNT_FORM, account, international_account
from core.pii_context import PASSPORT, is_another, is_bank_name, is_model, is_near
from core.pii_identifiers import (
    BUSINESS_FORM,
    CARD_FORM,
    CORPORATE_FORM,
    LICENCE_FORM,
    OLD_LICENCE_FORM,
    RRN_FORM,
    SSN_FORM,
    business,
    card,
    corporate,
    licence,
    old_licence,
    rrn,
    ssn,
)
from core.pii_kinds import ALL, Hit, Run, Text, run_of
from core.pii_names import name_of
from core.pii_phones import PhoneForms, phone, phone_forms

# Hangul is \w, so \b never stands between a number and the particle after it: boundaries are digits, here as below.
_RUN = re.compile(r"[0-9](?=[0-9 \t\-.()/~_]{6})[0-9]*(?:[ \t\-.()/~_]{1,3}[0-9]+)*")
_FEWEST_DIGITS = 7
_DIGITS = re.compile(r"\d+")
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_REMEMBERED = 64  # characters of a form; a longer one is made up, and would fill the memory
# the commonest number of all, which nothing else looks like
_MOBILE = re.compile(r"010[-. ]\d{4}[-. ]\d{4}")
_PASSPORT = re.compile(  # what it begins with comes first: the search goes from one of these to the next
    r"[A-Za-z0-9](?<![A-Za-z0-9].)(?:(?<=\d)\d{8}|(?<=[A-Za-z])(?:\d{3}[A-Za-z]\d{4}|[A-Za-z]?[ -]?\d{7,8}))"
    r"(?![A-Za-z0-9])(?!-\d)"
)
_OF_A_PASSPORT = re.compile(r"\d{3}[A-Za-z]?\d{4}")
_LETTERS_OF_A_PASSPORT = 3  # and what parts them from its digits, which are found far sooner

# what it says of a number of its form, from where to where, and whether there is a hyphen in all its gaps
Judge = Callable[[Text, int, int, bool], Hit | None]
_NEEDS_NO_NAME, _WORST = 11, 100
# kinds | how one looks where each digit is a 0 | the digits of one | the best rank it can have, ascending | who judges
_IN_RUNS: tuple[tuple[frozenset[str], re.Pattern[str], tuple[int, int], int, Judge], ...] = (
    (frozenset({"rrn", "frn"}), RRN_FORM, (13, 13), 10, rrn),
    (frozenset({"card"}), CARD_FORM, (13, 19), 11, card),
    (frozenset({"driver_licence"}), LICENCE_FORM, (12, 12), 13, licence),
    (frozenset({"driver_licence"}), OLD_LICENCE_FORM, (10, 10), 13, old_licence),
    (frozenset({"ssn"}), SSN_FORM, (9, 9), 14, ssn),
    (frozenset({"bank_account"}), ACCOUNT_FORM, ACCOUNT_DIGITS, 20, account),
    (frozenset({"business_number"}), BUSINESS_FORM, (10, 10), 21, business),
    (frozenset({"business_number"}), CORPORATE_FORM, (13, 13), 21, corporate),
)
_PHONE_BEST = 22
# groups of so many digits are of a kind above, or nothing
_NO_PHONES = frozenset({(6, 7), (4, 4, 4, 4), (4, 6, 5), (2, 2, 6, 2)})


class _Try(NamedTuple):
    """One kind that a run of some form can be, and where in it: start, end, whether all gaps have a hyphen."""

    kinds: frozenset[str]
    best: int
    judge: Judge
    places: tuple[tuple[int, int, bool], ...]


class _Form(NamedTuple):
    """All that runs of one form can be; worked out once."""

    bare: bool
    tries: tuple[_Try, ...]
    phones: PhoneForms | None


def numbers(text: Text, kinds: Collection[str]) -> list[Hit]:
    """Every kind in every run of seven digits and more, until one takes a whole run and no later one outranks it."""
    hits: list[Hit] = []
    plain, phones = text.plain, "phone" in kinds
    for found in _RUN.finditer(plain):
        first, last = found.span()
        if last - first < _FEWEST_DIGITS:
            continue
        number = found[0]
        if phones and number.startswith("010") and _MOBILE.fullmatch(number) and not is_bank_name(text, first):
            hits.append(Hit("phone", first, last, True, 22))
            continue
        start, before = first, plain[first - 1 : first]
        if before == "(":
            start, number = first - 1, f"({number}"
        elif before == "," and plain[first - 2 : first - 1].isdecimal():
            start, number = first - 2, f"0,{number}"
        written = number.encode().translate(_ZEROS)  # as bytes: a table of strings would be made into one each time
        form = _form(written) if len(written) <= _REMEMBERED else _worked_out(written)
        if form:
            _in_run(text, run_of((first, last, start, form.bare)), form, kinds, hits)
    return hits


def _in_run(text: Text, run: Run, form: _Form, kinds: Collection[str], hits: list[Hit]) -> None:
    first, last, start, maybe_formless = run
    whole, letter = _WORST, text.plain[first - 1 : first]
    if letter == " ":
        letter = text.plain[first - 2 : first - 1]
    if letter.isupper() and "bank_account" in kinds:
        for hit in international_account(text, run):
            hits.append(hit)
            if hit.start <= first and last <= hit.end:
                return
    for theirs, best, judge, places in form.tries:
        if whole < best:
            return
        if maybe_formless and best > _NEEDS_NO_NAME:
            if _formless(text, run):
                return
            maybe_formless = False
        if kinds is ALL or not theirs.isdisjoint(kinds):
            for begin, end, hyphens in places:
                found = judge(text, start + begin, start + end, hyphens)
                if found:
                    hits.append(found)
                    if found.rank < whole and found.start <= first and last <= found.end:
                        whole = found.rank
    if form.phones and whole >= _PHONE_BEST and "phone" in kinds and not (maybe_formless and _formless(text, run)):
        hits += phone(text, run, form.phones)


@lru_cache(maxsize=4096)
def _form(form: bytes) -> _Form | None:
    return _worked_out(form)


def _worked_out(form: bytes) -> _Form | None:
    """What runs of this form can be; None where there are too few digits for anything."""
    written = form.decode()
    run = written.removeprefix("(").removeprefix("0,")
    digits = run.count("0")
    if digits < _FEWEST_DIGITS:
        return None
    tries = (
        _Try(theirs, best, judge, places)
        for theirs, looks, (fewest, most), best, judge in _IN_RUNS
        if digits >= fewest and (places := _places(looks, fewest, most, written))
    )
    never = tuple(map(len, _DIGITS.findall(run))) in _NO_PHONES
    return _Form(run.isdecimal(), tuple(tries), None if never else phone_forms(written))


def _places(looks: re.Pattern[str], fewest: int, most: int, written: str) -> tuple[tuple[int, int, bool], ...]:
    found = [match for match in looks.finditer(written) if fewest <= match[0].count("0") <= most]
    return tuple((*match.span(), all(gap and "-" in gap for gap in match.groups())) for match in found)


def _formless(text: Text, run: Run) -> bool:
    """Bare digits that nothing names, nor begin as a phone number does: with a check digit or a birthday at most."""
    first, plain = run.first, text.plain
    if plain[first] == "0" or plain.startswith("82", first) or "+" in plain[max(0, first - 2) : first]:
        return False
    return not name_of(text, first, run.last) and not is_bank_name(text, first)


def named_passport(text: Text) -> list[Hit]:
    lower = text.lower
    if "여권" not in lower and "passport" not in lower and "패스포트" not in lower:
        return []
    digits = _OF_A_PASSPORT.search(text.plain)
    if not digits:
        return []
    return [
        Hit("passport", *match.span(), True, 12)
        for match in _PASSPORT.finditer(text.plain, max(0, digits.start() - _LETTERS_OF_A_PASSPORT))
        if _is_passport(text, match)
    ]


def _is_passport(text: Text, match: re.Match[str]) -> bool:
    """Nine digits are so many things that the nearest word has to say it; with letters, one near by is enough."""
    if is_another(text, match.start()) or is_model(text, match.end()):
        return False
    if match[0].isdecimal():
        return name_of(text, *match.span()) == "passport"
    return is_near(text, PASSPORT, *match.span())
