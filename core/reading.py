"""The question and the reply of a conversation, taken apart once for every check that looks at words."""

import re
from typing import NamedTuple

from core.conversation import Conversation
from core.duplicates import without_case

WORD = re.compile(r"[^\W_]+")
# where nothing but ASCII and Hangul stands, signs are taken out a byte at a time, which is three times as fast
NEITHER_ASCII_NOR_HANGUL = re.compile("[^\0-\x7f\uac00-\ud7a3]")
SIGNS_TO_SPACES = bytes(byte if byte > 127 or chr(byte).isalnum() else 32 for byte in range(256))
# fenced code (an unclosed fence runs to the end), then code in a line
CODE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```[ \t]*$|\Z)|`[^`\n]+`", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^[ \t]*(?:>>>|\.\.\.).*$", re.MULTILINE)
ADDRESS = re.compile(r"https?://\S+")


class Text(NamedTuple):
    """A text as it stands, its words folded, these put together; the `prose` ones without code and addresses."""

    raw: str
    words: list[str]
    compact: str
    prose: str
    prose_words: list[str]
    prose_compact: str


def words(text: str) -> list[str]:
    """Letters and digits in a row, folded: NFKC, without case."""
    plain = without_case(text)
    if not plain.isascii() and NEITHER_ASCII_NOR_HANGUL.search(plain):
        return WORD.findall(plain)
    return plain.encode().translate(SIGNS_TO_SPACES).decode().split()


def prose(text: str) -> str:
    """The text without code and addresses."""
    plain = without_code(text)
    return ADDRESS.sub(" ", plain) if "://" in plain else plain


def without_code(text: str) -> str:
    """The text without fenced code, code in a line, and lines of a Python console."""
    plain = CODE.sub(" ", text) if "`" in text else text
    return CONSOLE.sub("", plain) if ">>>" in plain else plain


def read(text: str) -> Text:
    """Take a text apart; the cost is that of folding it."""
    every = words(text)
    compact = "".join(every)
    plain = prose(text)
    if plain is text:
        return Text(text, every, compact, text, every, compact)
    plain_words = words(plain)
    return Text(text, every, compact, plain, plain_words, "".join(plain_words))


def read_conversation(conversation: Conversation) -> tuple[Text, Text]:
    """The last question and the reply to it."""
    return read(conversation.last_user), read(conversation.reply)
