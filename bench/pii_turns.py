"""Turns of chats with labelled personal values: Korean and English, in prose, forms, tables, JSON, code and logs.

Seeded. Nothing here knows how `core.pii` finds anything. `held_back` turns are made of wordings of their own.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from bench import pii_values as values
from bench.pii_near_misses import NEAR_MISSES

STRUCTURED = (
    "rrn",
    "frn",
    "driver_licence",
    "passport",
    "card",
    "ssn",
    "secret",
    "business_number",
    "bank_account",
    "phone",
    "email",
    "ip_address",
)

Make = Callable[[Random], str]


@dataclass(frozen=True)
class Label:
    """A value of this kind stands at `text[start:end]`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Turn:
    text: str
    labels: tuple[Label, ...]
    language: str


@dataclass(frozen=True)
class Carrier:
    """Sentences with one gap, those for seen turns and those for held-back ones, and what fills the gap."""

    kind: str
    language: str
    make: Make
    seen: Sequence[str]
    held_back: Sequence[str]


WORDINGS: Any = yaml.safe_load((Path(__file__).parent / "pii_wordings.yaml").read_text(encoding="utf-8"))
CARRIERS = tuple(
    Carrier(one["kind"], one["language"], getattr(values, one["value"]), one["seen"], one["held_back"])
    for one in WORDINGS["carriers"]
)


class _Text:
    """Text that grows and remembers where its values stand."""

    def __init__(self) -> None:
        self.text = ""
        self.labels: list[Label] = []

    def add(self, text: str) -> None:
        self.text += text

    def value(self, kind: str, value: str) -> None:
        self.labels.append(Label(kind, len(self.text), len(self.text) + len(value)))
        self.text += value

    def filled(self, template: str, kind: str | None, value: str) -> None:
        before, _, after = template.partition("{}")
        self.add(before.replace("{{", "{").replace("}}", "}"))
        if kind is None:
            self.add(value)
        else:
            self.value(kind, value)
        self.add(after.replace("{{", "{").replace("}}", "}"))


def turns(seed: int, count: int, *, held_back: bool = False) -> list[Turn]:
    rng = Random(seed)  # noqa: S311 (a test set, no secret)
    return [_turn(rng, held_back) for _ in range(count)]


def _turn(rng: Random, held_back: bool) -> Turn:
    carrier = rng.choice(CARRIERS)
    roll, text = rng.random(), _Text()
    if roll < 0.2:
        text.add(" ".join(rng.sample(WORDINGS["chat"][carrier.language], rng.randint(1, 4))))
    elif roll < 0.42:
        _near_misses(rng, text, carrier.language)
    elif roll < 0.52:
        _form(rng, text)
    else:
        _prose(rng, text, carrier, held_back)
    return Turn(text.text, tuple(text.labels), carrier.language)


def _prose(rng: Random, text: _Text, carrier: Carrier, held_back: bool) -> None:
    filler, chat = WORDINGS["filler"][carrier.language], WORDINGS["chat"][carrier.language]
    if rng.random() < 0.4:
        text.add(rng.choice(filler) + rng.choice((" ", "\n")))
    if rng.random() < 0.5:
        text.add(" ".join(rng.sample(chat, rng.randint(1, 3))) + rng.choice((" ", "\n")))
    text.filled(rng.choice(carrier.held_back if held_back else carrier.seen), carrier.kind, carrier.make(rng))
    if rng.random() < 0.25:
        other = rng.choice([c for c in CARRIERS if c.language == carrier.language])
        text.add(rng.choice(("\n", " ", " / ")))
        text.filled(rng.choice(other.held_back if held_back else other.seen), other.kind, other.make(rng))
    if rng.random() < 0.2:
        text.add(" ")
        _near_miss(rng, text)
    if rng.random() < 0.4:
        text.add(rng.choice((" ", "\n")) + rng.choice(filler))


def _near_misses(rng: Random, text: _Text, language: str) -> None:
    for _ in range(rng.randint(1, 3)):
        _near_miss(rng, text)
        text.add(rng.choice(("\n", " ", ". ")))
    text.add(" ".join(rng.sample(WORDINGS["chat"][language], rng.randint(1, 2))))


def _near_miss(rng: Random, text: _Text) -> None:
    name, make = rng.choice(list(NEAR_MISSES.items()))
    text.filled(rng.choice(WORDINGS["near_misses"][name]), None, make(rng))


def _form(rng: Random, text: _Text) -> None:
    """Several values beside their names, as data is pasted into a chat."""
    chosen = rng.sample([c for c in CARRIERS if c.make is not values.password], 3)
    pairs = [(carrier.kind, carrier.make(rng)) for carrier in chosen]
    pairs = [(kind, value) for kind, value in pairs if "\n" not in value] or [("email", "kim@example.com")]
    rng.choice((_json, _table, _csv, _lines, _code, _log))(rng, text, pairs)


def _json(rng: Random, text: _Text, pairs: Sequence[tuple[str, str]]) -> None:
    text.add('{"id": ' + str(rng.randint(1, 9999)))
    for kind, value in pairs:
        text.add(f', "{WORDINGS["names"][kind]["field"]}": "')
        text.value(kind, value)
        text.add('"')
    text.add("}")
    assert isinstance(json.loads(text.text, strict=False), dict)


def _table(rng: Random, text: _Text, pairs: Sequence[tuple[str, str]]) -> None:
    text.add("| 항목 | 값 |\n|---|---|\n")
    for kind, value in pairs:
        text.add(f"| {WORDINGS['names'][kind]['shown']} | ")
        text.value(kind, value)
        text.add(" |\n")


def _csv(rng: Random, text: _Text, pairs: Sequence[tuple[str, str]]) -> None:
    """One row a value, with its name: of a header far above nobody can tell."""
    for kind, value in pairs:
        text.add(f"{WORDINGS['names'][kind]['field']},")
        text.value(kind, value)
        text.add("\n")


def _lines(rng: Random, text: _Text, pairs: Sequence[tuple[str, str]]) -> None:
    mark = rng.choice(("- {}: ", "{} : ", "{}: ", "* {} - "))
    for kind, value in pairs:
        text.add(mark.format(WORDINGS["names"][kind]["shown"]))
        text.value(kind, value)
        text.add("\n")


def _code(rng: Random, text: _Text, pairs: Sequence[tuple[str, str]]) -> None:
    text.add("```python\n")
    for kind, value in pairs:
        text.add(f'{WORDINGS["names"][kind]["field"]} = "')
        text.value(kind, value)
        text.add('"\n')
    text.add("print(len(rows), 1024)\n```")


def _log(rng: Random, text: _Text, pairs: Sequence[tuple[str, str]]) -> None:
    text.add(f"2026-11-21 13:{rng.randint(10, 59)}:07 INFO req={rng.randint(1000, 9999)}")
    for kind, value in pairs:
        text.add(f" {WORDINGS['names'][kind]['field']}=")
        text.value(kind, value)
        text.add(",")


def canary(seed: int, count: int, kinds: Collection[str]) -> list[Turn]:
    """A sentence for each of `count` different values of these kinds, each value long enough to be searched for."""
    rng = Random(seed)  # noqa: S311 (a test set, no secret)
    carriers = [carrier for carrier in CARRIERS if carrier.kind in kinds and carrier.make is not values.password]
    made: dict[str, Turn] = {}
    while len(made) < count:
        carrier, text = rng.choice(carriers), _Text()
        value = carrier.make(rng)
        text.filled(rng.choice(carrier.seen), carrier.kind, value)
        made.setdefault(value, Turn(text.text, tuple(text.labels), carrier.language))
    return list(made.values())
