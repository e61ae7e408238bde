"""What stands in files for the names of people and threads: they may be somebody's mail address or number.

Equal names have equal pseudonyms as long as the secret is the same, so that whatever goes by user or thread still does.
"""

import hmac
import re
from functools import lru_cache

from core.conversation import Conversation
from core.domain import trusted

_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_LENGTH = 32
_REMEMBERED = 4096
_MARK = "p-"
_PSEUDONYM = re.compile(rf"{_MARK}[a-p]{{{_LENGTH}}}")
# ids of our own making say nothing of anybody, and are what a person looks a conversation up by
_OUR_ID = re.compile(
    r"(?:chatcmpl-[0-9a-f]{32}|import-[0-9a-f]{24,32}-\d{1,9}|dataset-\d{1,19}-\d{1,9})(?:\.\d{1,9})?"
    r"(?:\.corrected(?:\.\d{1,9})?)*"
)
# what we append to the id of a conversation that was corrected
_CORRECTED = re.compile(r"(?:\.corrected(?:\.\d{1,9})?)*\Z")


def digest_of(secret: str, name: str) -> str:
    """HMAC-SHA256 in hex: who knows a name can recognise it, nobody can read it."""
    return hmac.digest(secret.encode(), name.encode(), "sha256").hex()


def pseudonym_of(digest: str) -> str:
    """Letters alone, so that no rule takes it for a number."""
    return _MARK + digest[:_LENGTH].translate(_LETTERS)


class Pseudonyms:
    """Those of one secret; a pseudonym is its own."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._of = lru_cache(_REMEMBERED)(self._made)  # turns of one user and thread stand together

    def of(self, name: str) -> str:
        """For a user or session."""
        return self._of(name)

    def id(self, id: str) -> str:
        """For a conversation or thread; that of a correction goes on saying of which."""
        if _OUR_ID.fullmatch(id):
            return id
        ending = _CORRECTED.search(id)
        at = ending.start() if ending else len(id)
        return self.of(id[:at]) + id[at:]

    def unit(self, unit: str) -> str:
        """For `user:name` or `thread:id`."""
        kind, _, name = unit.partition(":")
        return f"{kind}:{self.of(name) if kind == 'user' else self.id(name)}"

    def conversation(self, one: Conversation) -> Conversation:
        """The same text under other names."""
        names = {
            "id": self.id(one.id),
            "user_id": one.user_id and self.of(one.user_id),
            "session_id": one.session_id and self.of(one.session_id),
            "thread_id": one.thread_id and self.id(one.thread_id),
        }
        return trusted(Conversation, {**vars(one), **names})

    def _made(self, name: str) -> str:
        return name if _PSEUDONYM.fullmatch(name) else pseudonym_of(digest_of(self._secret, name))
