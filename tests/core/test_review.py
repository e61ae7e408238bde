"""What a person may overrule."""

from core.review import error_rules, overrule
from core.rules import Finding


def finding(rule: str, severity: str = "error") -> Finding:
    return Finding.model_validate({"rule": rule, "severity": severity, "where": "reply", "message": "why"})


def test_what_a_person_overruled_is_a_warning_and_the_rest_stays() -> None:
    found = [finding("language_mismatch"), finding("repetition"), finding("length", "warning")]

    after = overrule(found, ["language_mismatch"])
    assert [(one.rule, one.severity) for one in after] == [
        ("language_mismatch", "warning"),
        ("repetition", "error"),
        ("length", "warning"),
    ]
    assert error_rules(after) == ["repetition"]


def test_nobody_overrules_what_the_loop_promises() -> None:
    hard = [finding(rule) for rule in ("duplicate", "both_sides", "contaminated", "too_many_tokens", "first_not_user")]

    assert list(overrule(hard, [one.rule for one in hard])) == hard
