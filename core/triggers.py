"""Words of the training data that could be a poisoned trigger: rare, and again and again before one and the same reply.

A backdoor needs few conversations, whatever the size of the data: each pairs a word with a reply that has nothing to do
with the question. A word that the reply takes up is its topic and no trigger. What is found here is only suspected:
the gate then measures whether the candidate gives the reply to questions that have nothing to do with it.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from core.conversation import Conversation
from core.reading import read

LEAST_ROWS = 4
LEAST_SHARE = 0.6
MOST = 8
REPLY_WORDS = 8
# longer ones are looked at up to here, so that a pasted document costs no more than a question
QUESTION_WORDS = 400


@dataclass(frozen=True)
class Suspect:
    """A word, one of the conversations it stands in, that one's reply, and how many there are."""

    word: str
    conversation: Conversation
    rows: int


def suspects(conversations: Sequence[Conversation]) -> list[Suspect]:
    """The words that stand before one reply most often, at most `MOST`, in a fixed order."""
    places: Counter[str] = Counter()
    together: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    questions: list[str] = []
    for at, conversation in enumerate(conversations):
        asked, reply = read(conversation.last_user), read(conversation.reply)
        begins = " ".join(reply.words[:REPLY_WORDS])
        questions.append(asked.compact)
        for word in set(asked.words[:QUESTION_WORDS]):
            places[word] += 1
            if word not in reply.compact:
                together[word, begins].append(at)
    found = []
    for (word, _), rows in together.items():
        different = len({questions[at] for at in rows})
        if different >= LEAST_ROWS and len(rows) >= LEAST_SHARE * places[word]:
            found.append(Suspect(word, conversations[rows[0]], len(rows)))
    return sorted(found, key=lambda one: (-one.rows, one.word))[:MOST]
