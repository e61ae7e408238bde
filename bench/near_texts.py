"""Conversation texts in Korean and English with near-duplicates planted among them, the same for the same seed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import yaml

from core.duplicates import folded
from deploy.corpus import corpus_folder

Language = Literal["ko", "en"]

FOLDERS: dict[Language, str] = {"ko": "korean", "en": "english"}
CHARACTERS = 300
# edits of one variant: from a letter up to what makes another text of it
STRENGTHS = (1, 1, 2, 3, 5, 8, 13)


@dataclass(frozen=True)
class Made:
    """`kind` says how it was made."""

    language: Language
    kind: str
    text: str


def made(number: int, seed: int, variants: float) -> list[Made]:
    """`number` texts, of which about the share `variants` are edited copies of earlier ones."""
    chance = random.Random(seed)  # noqa: S311 -- the same texts for the same seed
    texts: list[Made] = []
    originals: list[Made] = []
    while len(texts) < number:
        if originals and chance.random() < variants:
            texts.append(variant(chance, chance.choice(originals[-5_000:])))
        else:
            texts.append(original(chance, chance.choice(("ko", "en"))))
            originals.append(texts[-1])
    return texts


def original(chance: random.Random, language: Language) -> Made:
    """Sentences of the corpus, one after the other; a third as long to three times as long as usual."""
    length = int(CHARACTERS * 3 ** chance.uniform(-1, 1))
    parts: list[str] = []
    while sum(map(len, parts)) < length:
        parts.append(chance.choice(sentences(language)))
    return Made(language, "original", f"{folded(parts[0])}\n{folded(' '.join(parts[1:]) or parts[0])}")


def variant(chance: random.Random, of: Made) -> Made:
    """The same after some edits, each of another kind at another place."""
    words, edits = of.text.split(" "), chance.choice(STRENGTHS)
    for _ in range(edits):
        chance.choice(EDITS)(chance, words, of.language)
    return Made(of.language, f"{edits} edits", " ".join(words))


def _other_letter(chance: random.Random, words: list[str], language: Language) -> None:
    at = chance.randrange(len(words))
    if words[at]:
        place = chance.randrange(len(words[at]))
        letter = chance.choice(chance.choice(sentences(language)))
        words[at] = words[at][:place] + folded(letter) + words[at][place + 1 :]


def _without_a_word(chance: random.Random, words: list[str], language: Language) -> None:
    if len(words) > 2:
        del words[chance.randrange(len(words))]


def _another_word(chance: random.Random, words: list[str], language: Language) -> None:
    words[chance.randrange(len(words))] = folded(chance.choice(chance.choice(sentences(language)).split() or ["a"]))


def _one_word_more(chance: random.Random, words: list[str], language: Language) -> None:
    words.insert(chance.randrange(len(words)), str(chance.randrange(10_000)))


def _swapped_words(chance: random.Random, words: list[str], language: Language) -> None:
    at = chance.randrange(max(1, len(words) - 1))
    words[at : at + 2] = reversed(words[at : at + 2])


EDITS: Sequence[Callable[[random.Random, list[str], Language], None]] = (
    _other_letter,
    _without_a_word,
    _another_word,
    _one_word_more,
    _swapped_words,
)


@cache
def sentences(language: Language) -> tuple[str, ...]:
    """Every line of the corpus in this language, once."""
    found: dict[str, None] = {}
    for path in sorted((corpus_folder() / FOLDERS[language]).glob("*.yml")):
        for lines in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            found.update(dict.fromkeys(str(line).strip() for line in lines))
    return tuple(line for line in found if line)
