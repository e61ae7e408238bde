"""Personal data that is a run of digits: found first as a run, then tried as each kind that its form allows."""

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache

from core.pii_accounts import ACCOUNT_FORM, account, international_account
from core.pii_context import PASSPORT, is_another, is_bank_name, is_model, is_near, name_of
from core.pii_identifiers import (
    BUSINESS_FORM,
    CARD_FORM,
    LICENCE_FORM,
    RRN_FORM,
    SSN_FORM,
    business,
    card,
    licence,
    rrn,
    ssn,
)
from core.pii_kinds import ALL, Hit, Run, Text
from core.pii_phones import phone

# Hangul is \w, so \b never stands between a number and the particle after it: boundaries are digits, here as below.
_RUN = re.compile(r"[0-9](?=[0-9 \t\-.()/~_]{6})[0-9]*(?:[ \t\-.()/~_]{1,3}[0-9]+)*")
_FEWEST_DIGITS = 7
_DIGITS = re.compile(r"\d+")
_ZEROS = str.maketrans("123456789", "000000000")
_SEEN_BEFORE = 3  # +, ( and a space belong to a number
_SEEN_BEYOND = 3  # less than what would reach into the next run
# the commonest number of all, which nothing else looks like
_MOBILE = re.compile(r"010[-. ]\d{4}[-. ]\d{4}")
_PASSPORT = re.compile(  # what it begins with comes first: the search goes from one of these to the next
    r"[A-Za-z0-9](?<![A-Za-z0-9].)(?:(?<=\d)\d{8}|(?<=[A-Za-z])(?:\d{3}[A-Za-z]\d{4}|[A-Za-z]?[ -]?\d{7,8}))"
    r"(?![A-Za-z0-9])(?!-\d)"
)

Detector = Callable[[Text, Run], Iterator[Hit]]
Possible = tuple[tuple[frozenset[str], int, Detector], ...]
_NEEDS_NO_NAME, _WORST = 11, 100
_ANY_FORM = re.compile("")
# kinds | the form that one has | the least digits that make one | the best rank it can have, ascending | who finds it
_IN_RUNS: tuple[tuple[frozenset[str], re.Pattern[str], int, int, Detector], ...] = (
    (frozenset({"rrn", "frn"}), RRN_FORM, 13, 10, rrn),
    (frozenset({"card"}), CARD_FORM, 13, 11, card),
    (frozenset({"driver_licence"}), LICENCE_FORM, 10, 13, licence),
    (frozenset({"ssn"}), SSN_FORM, 9, 14, ssn),
    (frozenset({"bank_account"}), ACCOUNT_FORM, 8, 20, account),
    (frozenset({"business_number"}), BUSINESS_FORM, 10, 21, business),
    (frozenset({"phone"}), _ANY_FORM, 7, 22, phone),
)
# what a run of groups of these many digits can only be; of other shapes it may be anything, or several
_BY_SHAPE: dict[tuple[int, ...], frozenset[Detector]] = {
    shape: frozenset({account, *others})
    for shape, others in (
        ((6, 7), {rrn, business}),
        ((4, 4, 4, 4), {card}),
        ((4, 6, 5), {card}),
        ((2, 2, 6, 2), {licence}),
        ((3, 2, 4), {ssn, phone}),
        ((3, 2, 5), {business, phone}),
        ((3, 4, 4), {phone}),
        ((3, 3, 4), {phone}),
        ((2, 4, 4), {phone}),
        ((2, 3, 4), {phone}),
        ((2, 2, 4, 4), {phone}),
        ((1, 3, 3, 4), {phone}),
    )
}


def numbers(text: Text, kinds: Collection[str]) -> list[Hit]:
    """Every kind in every run of seven digits and more, until one takes a whole run and no later one outranks it."""
    hits: list[Hit] = []
    plain, phones = text.plain, "phone" in kinds
    for found in _RUN.finditer(plain):
        number, (first, last) = found[0], found.span()
        if last - first < _FEWEST_DIGITS:
            continue
        if phones and number.startswith("010") and _MOBILE.fullmatch(number) and not is_bank_name(text, first):
            hits.append(Hit("phone", first, last, True, 22))
            continue
        form = number.translate(_ZEROS)
        possible = _possible(form)
        if possible:
            start, end = max(first - _SEEN_BEFORE, 0), min(last + _SEEN_BEYOND, len(plain))
            _in_run(text, Run(first, last, start, end, form), possible, kinds, hits)
    return hits


def _in_run(text: Text, run: Run, possible: Possible, kinds: Collection[str], hits: list[Hit]) -> None:
    first, last, start, _, form = run
    whole, maybe_formless = _WORST, form.isdecimal()
    if text.plain[start:first].rstrip()[-1:].isupper() and "bank_account" in kinds:
        for hit in international_account(text, run):
            hits.append(hit)
            if hit.start <= first and last <= hit.end:
                return
    for theirs, best, detector in possible:
        if whole < best:
            return
        if maybe_formless and best > _NEEDS_NO_NAME:
            if _formless(text, run):
                return
            maybe_formless = False
        if kinds is ALL or not theirs.isdisjoint(kinds):
            for hit in detector(text, run):
                hits.append(hit)
                if hit.start <= first and last <= hit.end and hit.rank < whole:
                    whole = hit.rank


@lru_cache(maxsize=4096)
def _possible(form: str) -> Possible:
    """Which of the detectors are worth asking about runs of this form."""
    only = _BY_SHAPE.get(tuple(map(len, _DIGITS.findall(form))))
    digits = form.count("0")
    if digits < _FEWEST_DIGITS:
        return ()
    return tuple(
        (theirs, best, detector)
        for theirs, has_form, least, best, detector in _IN_RUNS
        if digits >= least and (only is None or detector in only) and has_form.search(form)
    )


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
    return [
        Hit("passport", *match.span(), True, 12)
        for match in _PASSPORT.finditer(text.plain)
        if _is_passport(text, match)
    ]


def _is_passport(text: Text, match: re.Match[str]) -> bool:
    """Nine digits are so many things that the nearest word has to say it; with letters, one near by is enough."""
    if is_another(text, match.start()) or is_model(text, match.end()):
        return False
    if match[0].isdecimal():
        return name_of(text, *match.span()) == "passport"
    return is_near(text, PASSPORT, *match.span())
