"""No conversation that the gate measures with may be trained on: the gate's own prompts are found again.

A conversation is contaminated by an item of the gate when, case, spacing and punctuation aside,
- question and reply are the item's, or the item's stand whole within them, or
- the item's question stands whole in the question asked and is long enough to be telling (8 words, 16 characters), or
- half of the item's 8-grams, or any one of its 13-grams, stands in the conversation (question and reply read as one
  text, so that an item of two short sentences has 8-grams too).

Grams are of words. Where an item is not written in Latin letters they are of characters, 16 and 26 long: a Korean word
carries its particles and changes with them, and its spacing is a matter of taste; 16 syllables say what 8 English words
say.

A short question alone is nobody's property: many will ask "What is the capital of France?", and with an answer of
their own ("It's Paris!") that is kept; with the gate's answer, also inside a longer one, it is not.
Only the last question and the reply are compared: no loss is taken on what came before.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.conversation import Conversation
from core.language import LATIN, LATIN_SHARE, LETTERS, count
from core.reading import Text, read_conversation

WORDS, LONG_WORDS = 8, 13
CHARACTERS, LONG_CHARACTERS = 16, 26
SHARE = 0.5
# A run of WINDOW + STRIDE - 1 shared characters holds a whole window at one of the places looked at. No gram of an item
# is shorter, so nothing is missed.
WINDOW, STRIDE = 8, 6
SHORTEST = WINDOW + STRIDE - 1


@dataclass(frozen=True, slots=True)
class _Item:
    id: str
    asked: str
    reply: str
    telling: bool
    grams: int

    def stands_in(self, question: str, answer: str) -> bool:
        """A telling question by itself, another with its reply, where one of them cannot be there by chance."""
        if self.asked not in question:
            return False
        return self.telling or (max(len(self.asked), len(self.reply)) >= SHORTEST and self.reply in answer)


class GatePrompts:
    """The items of one or more sets of the gate, indexed once."""

    def __init__(self, items: Iterable[Conversation]) -> None:
        self._items: list[_Item] = []
        self._windows: set[str] = set()
        self._runs: set[str] = set()
        self._pairs: set[tuple[str, str]] = set()
        self._word_grams: defaultdict[str, list[int]] = defaultdict(list)
        self._character_grams: defaultdict[str, list[int]] = defaultdict(list)
        self._long: set[str] = set()
        for item in items:
            self._add(item)

    def __len__(self) -> int:
        return len(self._items)

    def item_in(self, asked: Text, reply: Text) -> str | None:
        """The id of the first item that contaminates this question and reply, or nothing."""
        question, answer = asked.compact, reply.compact
        if (question, answer) in self._pairs:
            return next(item.id for item in self._items if (item.asked, item.reply) == (question, answer))
        whole = question + answer
        seen = [whole[at : at + WINDOW] for at in range(0, max(1, len(whole) - WINDOW + 1), STRIDE)]
        if self._windows.isdisjoint(seen) or not self._shares_a_run(whole, seen):
            return None
        return self._measured(question, answer, asked.words + reply.words)

    def _shares_a_run(self, whole: str, seen: Sequence[str]) -> bool:
        """Whether around one of the windows seen a run stands that is long enough to be of a gram."""
        for place, window in enumerate(seen):
            if window in self._windows:
                first, last = max(0, (place - 1) * STRIDE + 1), place * STRIDE
                if not self._runs.isdisjoint([whole[at : at + SHORTEST] for at in range(first, last + 1)]):
                    return True
        return False

    def _measured(self, question: str, answer: str, words: Sequence[str]) -> str | None:
        whole = question + answer
        shared: Counter[int] = Counter()
        for grams, found in (
            (self._word_grams, _word_grams(words, WORDS)),
            (self._character_grams, _character_grams(whole, CHARACTERS)),
        ):
            for gram in found & grams.keys():
                shared.update(grams[gram])
        hits = [index for index, count in shared.items() if count >= SHARE * self._items[index].grams]
        hits += [index for index, item in enumerate(self._items) if item.stands_in(question, answer)]
        if hits:
            return self._items[min(hits)].id
        if not shared:
            return None
        long = (_word_grams(words, LONG_WORDS) | _character_grams(whole, LONG_CHARACTERS)) & self._long
        return self._items[shared.most_common(1)[0][0]].id if long else None

    def _add(self, conversation: Conversation) -> None:
        asked, reply = read_conversation(conversation)
        question, answer = asked.compact, reply.compact
        words, whole = asked.words + reply.words, question + answer
        latin = _is_latin(whole)
        grams = _word_grams(words, WORDS) if latin else _character_grams(whole, CHARACTERS)
        grams = {gram for gram in grams if len(gram.replace(" ", "")) >= SHORTEST}
        index = len(self._items)
        for gram in grams:
            (self._word_grams if latin else self._character_grams)[gram].append(index)
        self._long |= _word_grams(words, LONG_WORDS) if latin else _character_grams(whole, LONG_CHARACTERS)
        telling = len(asked.words) >= WORDS if latin else len(question) >= CHARACTERS
        self._pairs |= {(question, answer)} if whole else set()
        self._windows |= {whole[at : at + WINDOW] for at in range(max(1, len(whole) - WINDOW + 1))}
        self._runs |= {whole[at : at + SHORTEST] for at in range(max(1, len(whole) - SHORTEST + 1))}
        self._items.append(_Item(conversation.id, question, answer, telling and len(question) >= SHORTEST, len(grams)))


def _is_latin(text: str) -> bool:
    return count(LATIN, text) >= LATIN_SHARE * count(LETTERS, text)


def _word_grams(words: Sequence[str], length: int) -> set[str]:
    return {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)}


def _character_grams(text: str, length: int) -> set[str]:
    return {text[at : at + length] for at in range(len(text) - length + 1)}
