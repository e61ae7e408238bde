"""Everything the rules say of one conversation by itself: findings, language, quality."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.language import language_of, mismatch, script_of
from core.noise import noise_findings
from core.pii_kinds import UNIQUE
from core.quality import NO_HINTS, Hints, quality_of
from core.reading import Text, read_conversation
from core.refusals import is_refusal
from core.repetition import repetition_findings
from core.rules import FORM_RULES, Finding, Severity, format_findings, reply_says_something_new, token_limit
from core.toxicity import toxic_words


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
    findings = format_findings(conversation.messages, conversation.reply, FORM_RULES)
    if asked.compact == reply.compact:
        findings += reply_says_something_new(conversation.messages, conversation.reply)
    if tokens is not None and max_tokens is not None:
        findings += token_limit(tokens, max_tokens)
    findings += repetition_findings(reply)
    findings += noise_findings(asked, reply)
    languages = language_of(asked), language_of(reply)
    if mismatch(asked, reply, *languages, _instructions(conversation)):
        message = f"Expected a reply in the language of the question ({languages[0]}), found {languages[1]}"
        findings.append(_finding("language_mismatch", message, where="reply"))
    findings += _of_the_whole(conversation, asked, reply, contamination)
    findings += _flags(conversation, asked, reply)
    findings += _personal(personal or {}, hints)
    quality, parts = quality_of(conversation, findings, hints)
    language = languages[1] or languages[0] or script_of(reply)
    return Examined(tuple(findings), language, quality, parts)


def _finding(rule: str, message: str, severity: Severity = "error", where: str = "conversation") -> Finding:
    return Finding(rule=rule, severity=severity, where=where, message=message)


def _instructions(conversation: Conversation) -> list[str]:
    """Where another language may have been agreed on before the question."""
    return [message.content for message in conversation.messages[:-1] if message.role in {"system", "user"}]


def _of_the_whole(
    conversation: Conversation, asked: Text, reply: Text, prompts: GatePrompts | None
) -> Iterator[Finding]:
    if not conversation.complete:
        yield _finding("incomplete", "Expected a whole reply, found one that was cut off", where="reply")
    if prompts and (item := prompts.item_in(asked, reply)):
        message = f"Found the text of {item}, which the gate measures with: trained on, it would flatter the candidate"
        yield _finding("contaminated", message)


def _flags(conversation: Conversation, asked: Text, reply: Text) -> Iterator[Finding]:
    if is_refusal(reply):
        yield _finding("refusal", "The reply declines, or speaks of itself as an AI", "warning", "reply")
    for where, text in ((f"messages[{len(conversation.messages) - 1}]", asked), ("reply", reply)):
        if found := toxic_words(text):
            yield _finding("toxic_words", f"Found {found} words of the list of abuse", "warning", where)


def _personal(personal: Mapping[str, int], hints: Hints) -> Iterator[Finding]:
    found = {kind: count for kind, count in sorted(personal.items()) if count}
    if not found:
        return
    counted = ", ".join(f"{kind} {count}" for kind, count in found.items())
    if found.keys() & UNIQUE and not hints.released:
        yield _finding("personal_data", f"Masked: {counted}; a person has to look at it and release it")
    else:
        yield _finding("personal_data_masked", f"Masked: {counted}", "warning")
