"""What makes two conversations the same, or nearly so, whatever the spacing, case or Unicode form."""

import hashlib
import unicodedata

from core.canonical import canonical_json
from core.conversation import Conversation


def folded(text: str) -> str:
    """NFKC, case folded, white space collapsed: what two people would call the same text."""
    return " ".join(without_case(text).split())


def without_case(text: str) -> str:
    """NFKC and case folded."""
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFKC", text)
    once = composed.casefold()
    # folding ß makes an s that the accent after it joins, so the composition is done once more
    return once if once == composed else unicodedata.normalize("NFKC", once).casefold()


def exact_hash(conversation: Conversation) -> str:
    """SHA-256 of the folded last user text and the folded reply."""
    pair = canonical_json([folded(conversation.last_user), folded(conversation.reply)])
    return hashlib.sha256(pair.encode()).hexdigest()


def text_of(conversation: Conversation) -> str:
    """What near-duplicates are told by: the folded last user text and the folded reply."""
    return f"{folded(conversation.last_user)}\n{folded(conversation.reply)}"
