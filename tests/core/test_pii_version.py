"""Whoever changes what is found, or what takes its place, raises the version of the rules."""

import hashlib
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import core
from bench.pii_turns import turns
from core.pii import PII_VERSION, Masker

TURNS = 800
DIGESTS = {
    "pii-3": "4937aff7b222308b",
}


def plain(value: Any) -> Any:
    """A table as JSON has it; what is none is nothing."""
    if isinstance(value, re.Pattern):
        return [value.pattern, value.flags]
    if isinstance(value, Mapping):
        return sorted([[plain(key), plain(one)] for key, one in value.items()], key=repr)
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float) else None


def tables() -> Iterator[list[Any]]:
    """Every constant of the rules: patterns, words, bounds."""
    for module in sorted(one.name for one in pkgutil.iter_modules(core.__path__) if one.name.startswith("pii")):
        constants = vars(importlib.import_module(f"core.{module}"))
        for name in sorted(constants):
            if name.isupper() and name != "PII_VERSION":
                yield [module, name, plain(constants[name])]


def masked() -> Iterator[str]:
    """What becomes of texts of every kind, in which the code beside the tables has its say."""
    for turn in turns(seed=3, count=TURNS):
        yield Masker().mask(turn.text)


def digest() -> str:
    told = json.dumps([[*tables()], [*masked()]], ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def test_rules_that_are_not_what_they_were_have_another_version() -> None:
    assert digest() == DIGESTS.get(PII_VERSION), (
        f"The rules of core/pii*.py have changed ({digest()}): raise PII_VERSION and note that digest beside it, else "
        "datasets and stored texts that the old rules masked count as masked by the new ones. Where a rule is only "
        "written otherwise and finds the same, the digest alone changes"
    )


@pytest.mark.parametrize(
    ("where", "what"), [("core.pii_words._LONGEST_MAILBOX", 63), ("core.pii.emails", lambda text: [])]
)
def test_the_digest_sees_a_table_and_what_is_done_with_it(
    monkeypatch: pytest.MonkeyPatch, where: str, what: object
) -> None:
    monkeypatch.setattr(where, what)
    assert digest() != DIGESTS[PII_VERSION]
