"""Format rules: deterministic, each with a stable reason code, no tokenizer needed."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from core.conversation import Conversation, Message
from core.domain import Domain

RULES_VERSION = "format-1"

Severity = Literal["error", "warning"]


class Finding(Domain):
    rule: str
    severity: Severity
    where: str
    message: str


@dataclass(frozen=True)
class Screening:
    """Ids in the order given; `reasons` counts each rule once a rejected conversation."""

    accepted: tuple[str, ...]
    rejected: dict[str, tuple[Finding, ...]]
    reasons: Counter[str]


def format_findings(messages: Sequence[Message], reply: str) -> list[Finding]:
    """Everything wrong with the form of a conversation; an empty list means nothing."""
    raise NotImplementedError


def screen(
    conversations: Sequence[Conversation],
    known_hashes: Collection[str] = frozenset(),
    count_tokens: Callable[[Conversation], int] | None = None,
    max_tokens: int | None = None,
) -> Screening:
    """Accept or reject each conversation with all its findings; the first of equals is kept."""
    raise NotImplementedError
