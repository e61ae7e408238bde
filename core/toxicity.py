"""Words of abuse, found by a list, for people to look at; never a reason to reject, as a text may quote them.

Syllables taken apart by a digit, a star or a dot are found, in the commonest words also stand-ins for letters. Limits:
a list knows no context and no new word; abuse in polite words is not found.
"""

import re

from core.reading import Text
from core.toxic_words import EVADED, KOREAN, WORDS

_KOREAN = re.compile(KOREAN)
_EVADED = re.compile(EVADED)
# one of these stands in every text that the pattern matches
_EVADED_HINTS = ("*", "sh1", "sh!", "b1t", "b!t", "a$", "kill", "go die", "drop dead", "shut the", "piece of")
# the same for the word that begins with f, which as a letter stands in nearly every text
_EVADED_F = re.compile(r"f[\W_]{0,3}[u*@v][\W_]{0,3}[c*]")


def toxic_words(text: Text) -> int:
    """How many words of the list stand in the text; the same way written twice counts twice."""
    found = 0 if WORDS.isdisjoint(text.words) else sum(word in WORDS for word in text.words)
    raw = text.raw.casefold()
    if found == 0 and (_EVADED_F.search(raw) or any(hint in raw for hint in _EVADED_HINTS)):
        found += len(_EVADED.findall(raw))
    if not raw.isascii():
        found += len(_KOREAN.findall(raw))
    return found
