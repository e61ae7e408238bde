"""Everything the rules say of one conversation by itself: findings, language, quality."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.language import language_of, mismatch, script_of
from core.quality import NO_HINTS, Hints, quality_of
from core.reading import Text, read_conversation
from core.rules import Finding, format_findings, token_limit


@dataclass(frozen=True, slots=True)
class Examined:
    """An error among the findings keeps the conversation out of a dataset; `language` is ko, en or other."""

    findings: tuple[Finding, ...]
    language: str
    quality: float
    quality_parts: dict[str, float]

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong that keeps it out."""
        return not any(finding.severity == "error" for finding in self.findings)


def examine(
    conversation: Conversation,
    *,
    tokens: int | None = None,
    max_tokens: int | None = None,
    personal: Mapping[str, int] | None = None,
    contamination: GatePrompts | None = None,
    hints: Hints = NO_HINTS,
) -> Examined:
    """Apply every rule that needs no other conversation.

    `tokens` is the rendered length (None: not counted), `personal` what was masked by kind, `contamination` the sets
    of the gate. What needs the others (`duplicate`, the caps, `both_sides`) is for the pipeline.
    """
    asked, reply = read_conversation(conversation)
    findings = format_findings(conversation.messages, conversation.reply)
    if tokens is not None and max_tokens is not None:
        findings += token_limit(tokens, max_tokens)
    languages = language_of(asked), language_of(reply)
    if mismatch(asked, reply, *languages, _instructions(conversation)):
        message = f"Expected a reply in the language of the question ({languages[0]}), found {languages[1]}"
        findings.append(Finding(rule="language_mismatch", severity="error", where="reply", message=message))
    findings += _contaminated(asked, reply, contamination)
    quality, parts = quality_of(conversation, findings, hints)
    language = languages[1] or languages[0] or script_of(reply)
    return Examined(tuple(findings), language, quality, parts)


def _instructions(conversation: Conversation) -> list[str]:
    """Where another language may have been agreed on before the question."""
    return [message.content for message in conversation.messages[:-1] if message.role in {"system", "user"}]


def _contaminated(asked: Text, reply: Text, prompts: GatePrompts | None) -> list[Finding]:
    item = prompts.item_in(asked, reply) if prompts else None
    if item is None:
        return []
    message = f"Found the text of {item}, which the gate measures with: trained on, it would flatter the candidate"
    return [Finding(rule="contaminated", severity="error", where="conversation", message=message)]
