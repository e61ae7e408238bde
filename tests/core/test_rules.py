import pytest

from core.conversation import Conversation, Message
from core.duplicates import exact_hash
from core.rules import Finding, format_findings, screen, token_limit
from tests.core.examples import conversation, talk


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


def test_screening_accepts_rejects_and_counts_reasons() -> None:
    batch = [
        conversation(id="good"),
        conversation(id="again", question="why is  the SKY blue?"),
        conversation("old", "known", id="known"),
        conversation("hm", "", id="empty"),
        conversation(id="broken", messages=messages("user", "user", "user"), reply=""),
        conversation("long", "x" * 40, id="long"),
    ]
    known = screen([conversation("OLD", "known", id="first")])
    assert known.accepted == ("first",)
    screened = screen(batch, known_hashes={hash_of("old", "known")}, count_tokens=reply_length, max_tokens=30)
    assert screened.accepted == ("good",)
    assert screened.reasons == {"duplicate": 2, "empty_reply": 2, "too_many_tokens": 1, "roles_not_alternating": 1}
    assert len(screened.rejected["broken"]) == 3


def hash_of(question: str, reply: str) -> str:
    return exact_hash(conversation(question, reply))


def reply_length(c: Conversation) -> int:
    return len(c.reply)


def test_a_rejected_conversation_does_not_shadow_its_good_twin() -> None:
    twin = {"question": "q", "reply": "a"}
    batch = [conversation(**twin, id="bad", messages=(*messages("user"), *talk("q"))), conversation(**twin, id="good")]
    screened = screen(batch)
    assert screened.accepted == ("good",)
    assert set(screened.rejected) == {"bad"}


def test_only_a_well_formed_conversation_is_counted() -> None:
    counted: list[str] = []

    def count(c: Conversation) -> int:
        counted.append(c.id)
        return 1

    screen([conversation(id="bad", reply=""), conversation(id="good")], count_tokens=count, max_tokens=5)
    assert counted == ["good"]


def test_a_warning_is_kept_beside_an_accepted_conversation() -> None:
    def doubts(messages: object, reply: str):  # type: ignore[no-untyped-def]
        yield Finding(rule="doubt", severity="warning", where="reply", message="hm")

    screened = screen([conversation()], rules=(doubts,))
    assert screened.accepted == ("c1",)
    assert [f.rule for f in screened.warnings["c1"]] == ["doubt"]
    assert not screened.reasons
