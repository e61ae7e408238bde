"""Bank accounts in a run of digits: an IBAN, or a number beside the name of a bank or of an account."""

import re
from collections.abc import Iterator

from core.pii_checks import iban
from core.pii_context import is_amount, is_bank_name, is_date, is_else
from core.pii_kinds import Hit, Run, Text
from core.pii_names import name_of

_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_IBAN_BEFORE, _IBAN_BEHIND = 11, 11  # letters of its own around its digits
# as it looks where each digit is a 0
ACCOUNT_FORM = re.compile(r"(?<!0)(?<!0[.,])(?:0{8,17}|0{2,7}(?P<gap> ?- ?| )0{1,8}(?:(?P=gap)0{1,8}){0,3})(?!0)")
ACCOUNT_DIGITS = 8, 17
# an everyday word or a region as well: a number behind one that is shorter than any account of theirs is none
_EVERYDAY = re.compile(r"(?:우리|하나|제일|기업|산업|부산|대구|광주|전북|경남|제주)\s?[:은는]?\s?$")
_EVERYDAY_DIGITS = 10
_IN_A_WORD = re.compile(
    r"[가-힣](?:국민|신한|우리|하나|기업|토스|카카오|카뱅|케뱅|제일|씨티|산업|부산|대구|광주|전북|경남|제주|새마을|우정)\s?[:은는]?\s?$"
)


def international_account(text: Text, run: Run) -> Iterator[Hit]:
    """Its run of digits stands behind letters of its own."""
    for match in _IBAN.finditer(text.plain, max(0, run.first - _IBAN_BEFORE), run.last + _IBAN_BEHIND):
        if iban(match[0].replace(" ", "")):
            yield Hit("bank_account", *match.span(), True, 5)


def account(text: Text, start: int, end: int, hyphens: bool) -> Hit | None:
    if is_bank_name(text, start) and _may_be_of_it(text, start, end):
        return None if is_amount(text, end) else Hit("bank_account", start, end, True, 20)
    if name_of(text, start, end) == "bank_account" and not is_else(text, start, end):
        return Hit("bank_account", start, end, False, 23)
    return None


def _may_be_of_it(text: Text, start: int, end: int) -> bool:
    """Whether this may be an account of the bank whose name stands before it, if that is a bank's."""
    before = max(0, start - 14), start
    if is_date(text, start, end) or _IN_A_WORD.search(text.plain, *before):
        return False
    return sum(map(str.isdigit, text.plain[start:end])) >= _EVERYDAY_DIGITS or not _EVERYDAY.search(text.plain, *before)
