"""Text as detectors read it: one kind of digit, dash and space, nothing invisible, and the way back."""

import re
import unicodedata
from functools import lru_cache

# Characters that mean themselves. All others are looked at one by one: full-width forms, dashes of every kind (and the
# vowel ㅡ, which Koreans type for one), other spaces, other scripts' digits, mathematical letters.
_ODD = re.compile(
    "[^\\x00-\\x9f\\xa1-\\xac\\xae-\u02ff\u2018-\u201f\u2022-\u2027\u3001-\u301b\u3041-\u30fb"
    "\u3131-\u3160\u3162-\u318e\u4e00-\u9fff\uac00-\ud7a3\U0001f000-\U0001faff]"
)
# What is not seen: format characters, variation selectors, the frame of a keycap.
_UNSEEN = re.compile(
    "[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u206a-\u206f\ufe00-\ufe0f\ufeff\u20e3]"
)
_JAMO = re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")
_DASHES = frozenset("\u2212\u2043\u30fc\u3161\u2500\u2501\ufe58\ufe63\uff0d")
_WORTH_FOLDING = frozenset({"Nd", "Lu", "Ll", "Po", "Ps", "Pe", "Sm", "Sk", "Pc", "Sc"})


def fold(text: str) -> tuple[str, list[int] | None]:
    """Plain text, and for each of its characters (and its end) where it stood; None where nothing moved."""
    if text.isascii() or not _ODD.search(text):
        return text, None
    if not _UNSEEN.search(text) and not _JAMO.search(text):
        return _ODD.sub(_one, text), None
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    while position < len(text):
        syllable = _JAMO.match(text, position)
        if syllable:
            pieces.append(unicodedata.normalize("NFC", syllable[0]))
            places.append(position)
            position = syllable.end()
            continue
        if not _UNSEEN.match(text, position):
            pieces.append(text[position])
            places.append(position)
        position += 1
    places.append(len(text))
    return _ODD.sub(_one, "".join(pieces)), places


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
