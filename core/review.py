"""What a person may overrule of what was found of a conversation, and what nobody may."""

from collections.abc import Collection, Iterable

from core.rules import Finding

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
# these would break what the loop promises: each text once, nothing on both sides, nothing the gate measures with
NOT_OVERRULED = UNRENDERABLE | {
    "empty_reply",
    "template_leakage",
    "template_refuses",
    "too_many_tokens",
    "duplicate",
    "both_sides",
    "contaminated",
    "personal_data",
}


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
