"""Personal data in text, Korean and English: where it stands, and what takes its place.

Rules alone, no model: numbers, addresses and keys have forms. Names have none, they are for a `Recogniser`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from core.conversation import Conversation
from core.pii_addresses import english_addresses, korean_addresses
from core.pii_identifiers import broken_rrn, hidden_numbers, may_be_hidden, said_rrn
from core.pii_kinds import ALL, CONTACT, UNIQUE, Hit, PersonalData, text_of, without_overlaps
from core.pii_numbers import named_passport, numbers
from core.pii_phones import spoken_phones
from core.pii_secrets import may_hold_secret, secrets
from core.pii_text import fold
from core.pii_words import emails, ip_addresses, spelled_emails

__all__ = ["ALL", "CONTACT", "PII_VERSION", "UNIQUE", "Masker", "PersonalData", "Recogniser", "find", "mask_personal",
           "mask_unique", "placeholders"]  # fmt: skip

# Raised with every change of what is found or of what takes its place: a dataset is masked anew, stored texts too.
PII_VERSION = "pii-3"

Recogniser = Callable[[str], Sequence[PersonalData]]

_MARK = re.compile("[0-9@]")
_PLACEHOLDER = re.compile(rf"\[({'|'.join(sorted(kind.upper() for kind in ALL))})(?:_(\d{{1,6}}))?\]")
# What stands between the characters of a value and says nothing. A dot, a dash or a number's place in an address does:
# kim.min@ and kimmin@ are two people, 12-3 and 123 two houses.
_PUNCTUATION = re.compile(r"[\W_]+")
_BETWEEN = {"email": re.compile(r"\s+"), "ip_address": re.compile(r"\s+"), "address": re.compile(r"[^\w-]+")}
# what one replacement lays bare the next one takes; a bound, as text could be made to unfold for hours
_ROUNDS = 16


def find(text: str, kinds: Collection[str] = ALL) -> list[PersonalData]:
    """Everything of these kinds in the order of the text, without overlaps; offsets are those of `text`."""
    plain, places = fold(text)
    if not _MARK.search(plain) and not _says_it_in_words(plain):
        return []
    if "[" in plain:  # what was masked is no word for what stands beside it
        plain = _PLACEHOLDER.sub(lambda match: "\0" * len(match[0]), plain)
    hits = _hits(plain, kinds)
    if not hits:
        return []
    found = without_overlaps(hits if kinds is ALL else [hit for hit in hits if hit.kind in kinds])
    if places is None:
        return found
    return [PersonalData(one.kind, places[one.start], places[one.end - 1] + 1, one.certain) for one in found]


def _hits(plain: str, kinds: Collection[str]) -> list[Hit]:
    """Of any kind, or of these alone. A detector is called where there is what its kinds cannot be without."""
    lower = plain.lower()
    if len(lower) != len(plain):
        lower = _lower(plain)
    text = text_of((plain, lower, {}))
    hits = numbers(text, kinds)
    if may_be_hidden(lower):
        hits += hidden_numbers(text)
    if "\n" in plain:
        hits += broken_rrn(text)
    if "주민" in plain and ("다시" in plain or "뒷" in plain):
        hits += said_rrn(text)
    if "일" in plain and "phone" in kinds:
        hits += spoken_phones(text)
    if "pass" in lower or "권" in lower or "패" in lower:
        hits += named_passport(text)
    hits += secrets(text)
    if "@" in plain and "email" in kinds:
        hits += emails(text)
    if (")" in plain or "]" in plain or "뱅" in plain) and "email" in kinds:
        hits += spelled_emails(text)
    if ("." in plain or ":" in plain) and "ip_address" in kinds:
        hits += ip_addresses(text)
    if "address" in kinds:
        hits += english_addresses(text) if plain.isascii() else korean_addresses(text) + english_addresses(text)
    return hits


def _says_it_in_words(plain: str) -> bool:
    """A number, an address or a secret without any digit or @ in it."""
    spelled = "골뱅이" in plain or "(at" in plain or "[at" in plain or "공일" in plain or "영일" in plain
    return spelled or may_hold_secret(plain)


def _lower(text: str) -> str:
    """Where a letter has two in lower case (İ), offsets would move."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def placeholders(text: str) -> Counter[str]:
    """How many of each kind stand in masked text."""
    return Counter(match[1].lower() for match in _PLACEHOLDER.finditer(text))


class Masker:
    """For one conversation: the same value becomes the same placeholder in all its texts.

    Masking masked text changes nothing: what one replacement lays bare is masked as well, and numbers that stand in
    the text already are not given out again.
    """

    def __init__(self, kinds: Collection[str] = ALL, taken: Sequence[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._kinds = kinds
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: Counter[str] = Counter()
        for text in taken:
            self._take(text)

    def mask(self, text: str, found: Sequence[PersonalData] | None = None) -> str:
        """`found` is what to mask first, by default what `find` sees; the rules have the last word."""
        self._take(text)
        found = find(text, self._kinds) if found is None else found
        for _ in range(_ROUNDS):
            if not found:
                return text
            text = self._replaced(text, found)
            found = find(text, self._kinds)
        return text

    def _replaced(self, text: str, found: Sequence[PersonalData]) -> str:
        pieces, position = [], 0
        for one in found:
            pieces += [text[position : one.start], self._placeholder(one.kind, text[one.start : one.end])]
            position = one.end
        return "".join([*pieces, text[position:]])

    def _placeholder(self, kind: str, value: str) -> str:
        self.counts[kind] += 1
        if kind in UNIQUE:
            return f"[{kind.upper()}]"
        same = (kind, _BETWEEN.get(kind, _PUNCTUATION).sub("", fold(value)[0]).casefold())
        if same not in self._numbers:
            self._last[kind] += 1
            self._numbers[same] = self._last[kind]
        return f"[{kind.upper()}_{self._numbers[same]}]"

    def _take(self, text: str) -> None:
        if "[" in text:
            for match in _PLACEHOLDER.finditer(text):
                kind = match[1].lower()
                self._last[kind] = max(self._last[kind], int(match[2] or 0))


def mask_unique(conversation: Conversation) -> tuple[Conversation, Counter[str]]:
    """Without what names a person by itself; the counts are of what was masked now."""
    return _masked(conversation, Masker(UNIQUE), None)


def mask_personal(conversation: Conversation, recognise: Recogniser | None) -> tuple[Conversation, Counter[str]]:
    """Without any personal data that the rules, and the recogniser where there is one, can find.

    Whoever writes text into a file hands over the recogniser of the settings: None is for where there is none.
    """
    texts = [message.content for message in conversation.messages]
    return _masked(conversation, Masker(ALL, [*texts, conversation.reply]), recognise)


def _masked(
    conversation: Conversation, masker: Masker, recognise: Recogniser | None
) -> tuple[Conversation, Counter[str]]:
    def masked(text: str) -> str:
        return masker.mask(text, _with(recognise, text) if recognise else None)

    messages = tuple(
        message
        if (content := masked(message.content)) == message.content
        else message.model_copy(update={"content": content})
        for message in conversation.messages
    )
    reply = masked(conversation.reply)
    if not masker.counts:
        return conversation, masker.counts
    return conversation.model_copy(update={"messages": messages, "reply": reply}), masker.counts


def _with(recognise: Recogniser, text: str) -> list[PersonalData]:
    """What the rules find, and of the recogniser what does not overlap it or a placeholder."""
    ours = [Hit(*one, rank=0) for one in find(text)]
    taken = [Hit("", *match.span(), certain=True, rank=-1) for match in _PLACEHOLDER.finditer(text)]
    theirs = [Hit(*one, rank=1) for one in recognise(text) if one.kind in ALL and one.end > one.start]
    return [one for one in without_overlaps([*ours, *taken, *theirs]) if one.kind]
