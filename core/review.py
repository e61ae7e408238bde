"""What a person may overrule of what was found of a conversation, and what nobody may."""

from collections.abc import Collection, Iterable

from core.conversation import Conversation
from core.reason_codes import REASONS
from core.rules import Finding, format_findings

# no chat template can render these
UNRENDERABLE = frozenset(
    {
        "several_systems",
        "system_not_first",
        "no_user_message",
        "first_not_user",
        "roles_not_alternating",
        "last_not_user",
        "empty_message",
    }
)
# the loop promises more of these than one person can set aside: each text once, nothing the gate measures with
NOT_OVERRULED = frozenset({"duplicate", *(code for code, reason in REASONS.items() if reason.final)})


def is_renderable(conversation: Conversation) -> bool:
    """Whether a chat template can make a prompt of it, followed by a reply."""
    found = format_findings(conversation.messages, conversation.reply)
    return not any(finding.rule in UNRENDERABLE or finding.rule == "empty_reply" for finding in found)


def error_rules(findings: Iterable[Finding]) -> list[str]:
    """The rules by which a conversation is kept out, each once."""
    return sorted({finding.rule for finding in findings if finding.severity == "error"})


def overrule(findings: Iterable[Finding], rules: Collection[str]) -> tuple[Finding, ...]:
    """The findings with those of `rules` as warnings: a person saw them and wants the conversation all the same."""
    return tuple(
        finding.model_copy(update={"severity": "warning"})
        if finding.severity == "error" and finding.rule in rules and finding.rule not in NOT_OVERRULED
        else finding
        for finding in findings
    )
