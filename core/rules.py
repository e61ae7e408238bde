"""The form of a conversation: deterministic rules, each with a stable reason code; `core.examination` applies all."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from core.common_words import GREETINGS
from core.conversation import Message
from core.domain import Domain
from core.duplicates import folded

RULES_VERSION = "rules-4"

Severity = Literal["error", "warning"]

# a user may quote "User: hi" or strike text with <s>; the control tokens of a template have no honest use in a message
CONTROL_TOKEN = re.compile(r"<\|(?:im_start|im_end|system|user|assistant|eot_id|endoftext|(?:start|end)_header_id)\|>")
TEMPLATE_LEAKAGE = re.compile(
    CONTROL_TOKEN.pattern
    + r"|\[/?INST\]|<</?SYS>>|<s>|</s>|^### (?:Instruction|Response):|^(?:User|Assistant|Human|GPT):\s",
    re.MULTILINE,
)
# one of these stands in every reply that TEMPLATE_LEAKAGE matches
LEAKAGE_MARKS = ("<", "[", "### ", "User:", "Assistant:", "Human:", "GPT:")
# opens or closes a block; one that is closed in its own line is code in a line
_FENCE = re.compile(r"\s*`{3,}[^`]*$")
SIGNS = re.compile(r"[\W_]+")
MAY_FOLLOW = {
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}


class Finding(Domain):
    """What a check says of one conversation; an error keeps it out of the dataset."""

    rule: str
    severity: Severity
    where: str
    message: str


Rule = Callable[[Sequence[Message], str], Iterator[Finding]]


def _error(rule: str, where: str, message: str) -> Finding:
    return Finding(rule=rule, severity="error", where=where, message=message)


def _system_stands_first(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    systems = [index for index, message in enumerate(messages) if message.role == "system"]
    if len(systems) > 1:
        yield _error("several_systems", f"messages[{systems[1]}]", f"Expected one system message, found {len(systems)}")
    elif systems and systems[0] != 0:
        yield _error("system_not_first", f"messages[{systems[0]}]", "Expected the system message first")


def _roles_alternate(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    if len(messages) == 1 and messages[0].role == "user":
        return
    talk = [(index, message.role) for index, message in enumerate(messages) if message.role != "system"]
    if not talk:
        yield _error("no_user_message", "messages", "Expected a user message, found none")
        return
    if talk[0][1] != "user":
        yield _error("first_not_user", f"messages[{talk[0][0]}]", f"Expected role user first, found {talk[0][1]}")
    for (_, before), (index, role) in pairwise(talk):
        if role not in MAY_FOLLOW[before]:
            expected = " or ".join(sorted(MAY_FOLLOW[before]))
            yield _error("roles_not_alternating", f"messages[{index}]", f"Expected {expected} next, found {role}")
    if talk[-1][1] != "user":
        yield _error("last_not_user", f"messages[{talk[-1][0]}]", f"Expected role user last, found {talk[-1][1]}")


def _nothing_is_empty(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    for index, message in enumerate(messages):
        if not message.content.strip():
            yield _error("empty_message", f"messages[{index}]", f"Expected text in the {message.role} message")
    if not reply.strip():
        yield _error("empty_reply", "reply", "Expected text in the reply")


def _text_was_decoded(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    for index, message in enumerate(messages):
        if "\ufffd" in message.content:
            yield _decoded_wrongly(f"messages[{index}]", message.content)
    if "\ufffd" in reply:
        yield _decoded_wrongly("reply", reply)


def _decoded_wrongly(where: str, text: str) -> Finding:
    at = text.index("\ufffd")
    return _error("replacement_character", where, f"Found U+FFFD at character {at}: it was decoded wrongly")


def _no_template_leaks(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    for index, message in enumerate(messages):
        if "<|" in message.content and (leak := CONTROL_TOKEN.search(message.content)):
            yield _leaked(f"messages[{index}]", leak)
    if any(mark in reply for mark in LEAKAGE_MARKS) and (leak := TEMPLATE_LEAKAGE.search(reply)):
        yield _leaked("reply", leak)


def _leaked(where: str, leak: re.Match[str]) -> Finding:
    found = f"Found {leak.group().strip()!r} at character {leak.start()}: a chat template leaked into the text"
    return _error("template_leakage", where, found)


def reply_says_something_new(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    """A reply that is the question; a greeting may be returned."""
    asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
    if not reply.strip() or (again := folded(reply)) != folded(asked):
        return
    if SIGNS.sub("", again) not in GREETINGS:
        yield _error("reply_repeats_user", "reply", "Expected an answer, found the user's own text")


def _code_fences_are_closed(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    if "```" not in reply:
        return
    fences = sum(_FENCE.match(line) is not None for line in reply.splitlines())
    if fences % 2:
        yield _error("unclosed_code_fence", "reply", "Expected every code fence closed: the reply was cut off")


# what can be said of the texts as they stand, without folding them
FORM_RULES: tuple[Rule, ...] = (
    _system_stands_first,
    _roles_alternate,
    _nothing_is_empty,
    _text_was_decoded,
    _no_template_leaks,
    _code_fences_are_closed,
)
FORMAT_RULES: tuple[Rule, ...] = (*FORM_RULES, reply_says_something_new)


def format_findings(messages: Sequence[Message], reply: str, rules: Sequence[Rule] = FORMAT_RULES) -> list[Finding]:
    """Everything wrong with the form of a conversation, all at once; an empty list means nothing."""
    return [finding for rule in rules for finding in rule(messages, reply)]


def token_limit(length: int, limit: int) -> list[Finding]:
    """A conversation longer than the model is trained on is rejected, as a cut answer teaches to stop early."""
    if length <= limit:
        return []
    return [_error("too_many_tokens", "conversation", f"Expected at most {limit} tokens, found {length}")]
