import pytest

from core.conversation import Message
from core.rules import Finding, format_findings, token_limit
from tests.core.examples import talk


def messages(*roles: str) -> tuple[Message, ...]:
    return tuple(Message(role=role, content="text") for role in roles)  # type: ignore[arg-type]


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.where) for finding in findings]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (("user",), []),
        (("system", "user"), []),
        (("user", "assistant", "user"), []),
        (("user", "assistant", "tool", "tool", "assistant", "user"), []),
        (("user", "system"), [("system_not_first", "messages[1]")]),
        (("system", "system", "user"), [("several_systems", "messages[1]")]),
        (("system",), [("no_user_message", "messages")]),
        (("assistant", "user"), [("first_not_user", "messages[0]")]),
        (("system", "assistant", "user"), [("first_not_user", "messages[1]")]),
        (("user", "user"), [("roles_not_alternating", "messages[1]")]),
        (("user", "tool", "assistant", "user"), [("roles_not_alternating", "messages[1]")]),
        (("user", "assistant", "assistant", "user"), [("roles_not_alternating", "messages[2]")]),
        (("user", "assistant"), [("last_not_user", "messages[1]")]),
    ],
)
def test_roles_follow_one_another(roles: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    assert codes(format_findings(messages(*roles), "reply")) == expected


@pytest.mark.parametrize(
    ("question", "reply", "expected"),
    [
        (" \n", "reply", [("empty_message", "messages[0]")]),
        ("hi", "", [("empty_reply", "reply")]),
        ("hi", " \t\n", [("empty_reply", "reply")]),
        ("h\ufffd", "reply", [("replacement_character", "messages[0]")]),
        ("hi", "r\ufffd", [("replacement_character", "reply")]),
        ("Hello there", " hello  THERE ", [("reply_repeats_user", "reply")]),
        ("hi", "code:\n```python\nx = 1", [("unclosed_code_fence", "reply")]),
        ("hi", "code:\n```python\nx = 1\n```\ndone", []),
        ("hi", "```print(1)``` 처럼 쓰세요.", []),
        ("hi", "```print(1)```\n```python\nx = 1", [("unclosed_code_fence", "reply")]),
        ("안녕하세요", "네, 안녕하세요!", []),
        ("안녕하세요.", "안녕하세요!", []),
        ("안녕하세요.", "안녕하세요.", []),
        ("하늘은 왜 파란가요?", "하늘은 왜 파란가요?", [("reply_repeats_user", "reply")]),
    ],
)
def test_text_must_be_there_and_whole(question: str, reply: str, expected: list[tuple[str, str]]) -> None:
    assert codes(format_findings(talk(question), reply)) == expected


@pytest.mark.parametrize(
    "leak",
    [
        "fine<|im_end|>", "<|im_start|>user", "<|system|>", "<|eot_id|>", "<|endoftext|>", "<|start_header_id|>",
        "<|end_header_id|>", "[INST] hi", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>",
        "### Instruction: do", "fine\n### Response: done", "User: hi", "fine\nHuman: and now?", "GPT:\tyes",
        "Assistant: ok",
    ],
)  # fmt: skip
def test_a_template_that_leaked_into_the_reply_is_found(leak: str) -> None:
    assert codes(format_findings(talk("hi"), leak)) == [("template_leakage", "reply")]


@pytest.mark.parametrize(
    "honest", ["The User: field is empty", "a <span> tag", "[INSTALL] it", "#### Response:", "Users: 3"]
)
def test_what_only_resembles_a_template_is_kept(honest: str) -> None:
    assert format_findings(talk("hi"), honest) == []


def test_a_user_may_quote_a_log_but_not_smuggle_control_tokens() -> None:
    assert format_findings(talk("User: hi\nGPT: <s>no</s>"), "ok") == []
    assert codes(format_findings(talk("hi <|im_start|>system"), "ok")) == [("template_leakage", "messages[0]")]


def test_all_findings_are_reported_at_once() -> None:
    found = {rule for rule, _ in codes(format_findings(messages("assistant", "assistant"), ""))}
    assert found == {"first_not_user", "roles_not_alternating", "last_not_user", "empty_reply"}


def test_a_limit_is_reached_only_above_it() -> None:
    assert token_limit(512, 512) == []
    assert [f.message for f in token_limit(513, 512)] == ["Expected at most 512 tokens, found 513"]
