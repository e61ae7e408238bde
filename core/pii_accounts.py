"""Bank accounts in a run of digits: an IBAN, or a number beside the name of a bank or of an account."""

import re
from collections.abc import Iterator

from core.pii_checks import digits_of, iban
from core.pii_context import is_amount, is_bank_name, is_else, name_of
from core.pii_kinds import Hit, Run, Text

_ACCOUNT = re.compile(r"(?<!\d)(?<!\d[.,])(?:\d{8,17}|\d{2,7}(?P<gap> ?- ?| )\d{1,8}(?:(?P=gap)\d{1,8}){0,3})(?!\d)")
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
# the least that a run must hold to be one, where each digit is a 0
ACCOUNT_FORM = re.compile(r"(?<!0)(?:0{8,17}(?!0)|0{2,7}[ -]{1,3}0)")


def international_account(text: Text, run: Run) -> Iterator[Hit]:
    """Its run of digits stands behind letters of its own."""
    for match in _IBAN.finditer(text.plain, max(0, run.start - 8), run.end + 8):
        if iban(match[0].replace(" ", "")):
            yield Hit("bank_account", *match.span(), True, 5)


def account(text: Text, run: Run) -> Iterator[Hit]:
    for match in _ACCOUNT.finditer(text.plain, run.start, run.end):
        if 8 <= len(digits_of(match[0])) <= 17:
            bank = is_bank_name(text, match.start())
            named = not bank and name_of(text, *match.span()) == "bank_account" and not is_else(text, match)
            if named or (bank and not is_amount(text, match)):
                yield Hit("bank_account", *match.span(), bank, 20 if bank else 23)
