"""Text as detectors read it: one kind of digit, dash and space, nothing invisible, and the way back."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# Characters that mean themselves. All others are looked at one by one: full-width forms, dashes of every kind (and the
# vowel ㅡ, which Koreans type for one), other spaces, other scripts' digits, mathematical letters.
_ODD = re.compile(
    "[^\\x00-\\x9f\\xa1-\\xac\\xae-\u02ff\u2018-\u201f\u2022-\u2027\u3001-\u301b\u3041-\u30fb"
    "\u3131-\u3160\u3162-\u318e\u4e00-\u9fff\uac00-\ud7a3\U0001f000-\U0001faff]"
)
# What is not seen: format characters, variation selectors, the frame of a keycap; and syllables in pieces.
_UNSEEN = "\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u206a-\u206f\ufe00-\ufe0f\ufeff\u20e3"
_MOVING = re.compile(f"[{_UNSEEN}]|([\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?)")
_MAY_MOVE = re.compile(f"[{_UNSEEN}\u1100-\u1112]")  # one set of characters costs a fourth of a choice of two
_DASHES = frozenset("\u2212\u2043\u30fc\u3161\u2500\u2501\ufe58\ufe63\uff0d")
_WORTH_FOLDING = frozenset({"Nd", "Lu", "Ll", "Po", "Ps", "Pe", "Sm", "Sk", "Pc", "Sc"})


def fold(text: str) -> tuple[str, list[int] | None]:
    """Plain text, and for each of its characters (and its end) where it stood; None where nothing moved."""
    if text.isascii() or not _ODD.search(text):
        return text, None
    if not _MAY_MOVE.search(text):
        return _ODD.sub(_one, text), None
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    for moving in _MOVING.finditer(text):
        start, end = moving.span()
        pieces.append(text[position:start])
        places.extend(range(position, start))
        if moving[1]:
            pieces.append(unicodedata.normalize("NFC", moving[1]))
            places.append(start)
        position = end
    places.extend(range(position, len(text) + 1))
    return _ODD.sub(_one, "".join([*pieces, text[position:]])), places


def _one(match: re.Match[str]) -> str:
    return _folded(match[0])


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """One character for one character, so that offsets stay."""
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category == "Pd" or character in _DASHES:
        return "-"
    if category == "Zs":
        return " "
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and category in _WORTH_FOLDING else character


def by_first_letter(words: Iterable[str], behind: str = "") -> str:
    r"""One pattern for all, `behind` the first letter of each; where none can begin, that letter says so at once.

    Words begin with a letter of their own; `\b` before one asks that it begins there.
    """
    rests: dict[str, list[str]] = {}
    for word in words:
        letter, rest = word.removeprefix(r"\b")[0], word.removeprefix(r"\b")[1:]
        rests.setdefault(letter, []).append(rf"(?<!\w.){rest}" if word.startswith(r"\b") else rest)
    return "|".join(f"{letter}{behind}(?:{'|'.join(each)})" for letter, each in rests.items())


def first_letters(words: Iterable[str]) -> str:
    return "".join(sorted({word.removeprefix(r"\b")[0] for word in words}))
