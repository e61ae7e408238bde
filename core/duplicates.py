"""What makes two conversations the same, or nearly so, whatever the spacing, case or Unicode form."""

import hashlib
import re
import unicodedata
from typing import Final

from core.canonical import canonical_json
from core.conversation import Conversation

# Composing a text takes the square of the number of marks on one letter: a megabyte of them would take minutes.
SHORT_TEXT = 1_000
MARKS = 30
BECOME_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"
MANY_SIGNS = re.compile(rf"(?:[^\x00-\x7f\w\s]|[{BECOME_MARKS}]){{{MARKS + 1},}}")
JOINER = "\u034f"

# the share of all character 5-grams of two texts that both have, from which on they are near-duplicates
THRESHOLD: Final = 0.8


def folded(text: str) -> str:
    """NFKC, case folded, white space collapsed: what two people would call the same text."""
    return " ".join(without_case(text).split())


def without_case(text: str) -> str:
    """NFKC and case folded."""
    if text.isascii():
        return text.lower()
    if len(text) > SHORT_TEXT and MANY_SIGNS.search(text):
        text = MANY_SIGNS.sub(_stream_safe, text)
    composed = unicodedata.normalize("NFKC", text)
    once = composed.casefold()
    # folding ß makes an s that the accent after it joins, so the composition is done once more
    return once if once == composed else unicodedata.normalize("NFKC", once).casefold()


def _stream_safe(signs: re.Match[str]) -> str:
    """No more than MARKS combining marks in a row: a joiner that is not seen stands between (UAX #15)."""
    kept: list[str] = []
    marks = 0
    for sign in signs[0]:
        marks = marks + 1 if unicodedata.combining(sign) or sign in BECOME_MARKS else 0
        if marks > MARKS:
            kept.append(JOINER)
            marks = 1
        kept.append(sign)
    return "".join(kept)


def exact_hash(conversation: Conversation) -> str:
    """SHA-256 of the folded last user text and the folded reply."""
    pair = canonical_json([folded(conversation.last_user), folded(conversation.reply)])
    return hashlib.sha256(pair.encode()).hexdigest()


def text_of(conversation: Conversation) -> str:
    """What near-duplicates are told by: the folded last user text and the folded reply."""
    return f"{folded(conversation.last_user)}\n{folded(conversation.reply)}"
