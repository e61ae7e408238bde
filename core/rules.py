"""Format rules: deterministic, each with a stable reason code, no tokenizer needed."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from core.conversation import Conversation, Message
from core.domain import Domain
from core.duplicates import exact_hash, folded

RULES_VERSION = "format-1"

Severity = Literal["error", "warning"]

# a user may quote "User: hi" or strike text with <s>; the control tokens of a template have no honest use in a message
CONTROL_TOKEN = re.compile(r"<\|(?:im_start|im_end|system|user|assistant|eot_id|endoftext|(?:start|end)_header_id)\|>")
TEMPLATE_LEAKAGE = re.compile(
    CONTROL_TOKEN.pattern
    + r"|\[/?INST\]|<</?SYS>>|<s>|</s>|^### (?:Instruction|Response):|^(?:User|Assistant|Human|GPT):\s",
    re.MULTILINE,
)
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


@dataclass(frozen=True)
class Screening:
    """Ids in the order given; `reasons` counts each rule once for each rejected conversation."""

    accepted: tuple[str, ...]
    rejected: dict[str, tuple[Finding, ...]]
    warnings: dict[str, tuple[Finding, ...]]
    reasons: Counter[str]


def _error(rule: str, where: str, message: str) -> Finding:
    return Finding(rule=rule, severity="error", where=where, message=message)


def _system_stands_first(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    systems = [index for index, message in enumerate(messages) if message.role == "system"]
    if len(systems) > 1:
        yield _error("several_systems", f"messages[{systems[1]}]", f"Expected one system message, found {len(systems)}")
    elif systems and systems[0] != 0:
        yield _error("system_not_first", f"messages[{systems[0]}]", "Expected the system message first")


def _roles_alternate(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
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
    texts = [(f"messages[{index}]", message.content) for index, message in enumerate(messages)]
    for where, text in [*texts, ("reply", reply)]:
        if "\ufffd" in text:
            at = text.index("\ufffd")
            yield _error("replacement_character", where, f"Found U+FFFD at character {at}: it was decoded wrongly")


def _no_template_leaks(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    texts = [(f"messages[{index}]", CONTROL_TOKEN.search(message.content)) for index, message in enumerate(messages)]
    for where, leak in [*texts, ("reply", TEMPLATE_LEAKAGE.search(reply))]:
        if leak:
            found = f"Found {leak.group().strip()!r} at character {leak.start()}: a chat template leaked into the text"
            yield _error("template_leakage", where, found)


def _reply_says_something_new(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
    if reply.strip() and folded(asked) == folded(reply):
        yield _error("reply_repeats_user", "reply", "Expected an answer, found the user's own text")


def _code_fences_are_closed(messages: Sequence[Message], reply: str) -> Iterator[Finding]:
    fences = sum(line.lstrip().startswith("```") for line in reply.splitlines())
    if fences % 2:
        yield _error("unclosed_code_fence", "reply", "Expected every code fence closed: the reply was cut off")


FORMAT_RULES: tuple[Rule, ...] = (
    _system_stands_first,
    _roles_alternate,
    _nothing_is_empty,
    _text_was_decoded,
    _no_template_leaks,
    _reply_says_something_new,
    _code_fences_are_closed,
)


def format_findings(messages: Sequence[Message], reply: str, rules: Sequence[Rule] = FORMAT_RULES) -> list[Finding]:
    """Everything wrong with the form of a conversation, all at once; an empty list means nothing."""
    return [finding for rule in rules for finding in rule(messages, reply)]


def token_limit(length: int, limit: int) -> list[Finding]:
    """A conversation longer than the model is trained on is rejected, as a cut answer teaches to stop early."""
    if length <= limit:
        return []
    return [_error("too_many_tokens", "conversation", f"Expected at most {limit} tokens, found {length}")]


def screen(
    conversations: Sequence[Conversation],
    known_hashes: Collection[str] = frozenset(),
    count_tokens: Callable[[Conversation], int] | None = None,
    max_tokens: int | None = None,
    rules: Sequence[Rule] = FORMAT_RULES,
) -> Screening:
    """Accept or reject each conversation with all its findings; of exact duplicates the first accepted is kept."""
    accepted: list[str] = []
    rejected: dict[str, tuple[Finding, ...]] = {}
    warnings: dict[str, tuple[Finding, ...]] = {}
    taken = set(known_hashes)
    for conversation in conversations:
        findings = format_findings(conversation.messages, conversation.reply, rules)
        if not findings and count_tokens is not None and max_tokens is not None:
            # only a well-formed conversation can be rendered, hence counted
            findings += token_limit(count_tokens(conversation), max_tokens)
        text = exact_hash(conversation)
        if text in taken:
            findings.append(_error("duplicate", "conversation", "Expected a new pair of question and reply"))
        if any(finding.severity == "error" for finding in findings):
            rejected[conversation.id] = tuple(findings)
            continue
        taken.add(text)
        accepted.append(conversation.id)
        if findings:
            warnings[conversation.id] = tuple(findings)
    reasons = Counter(rule for found in rejected.values() for rule in {f.rule for f in found if f.severity == "error"})
    return Screening(accepted=tuple(accepted), rejected=rejected, warnings=warnings, reasons=reasons)
