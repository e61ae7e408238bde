import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.examination import Examined, examine
from core.quality import Hints
from core.reason_codes import REASONS
from deploy import corpus
from resources.reference_sets import REPLAY, read_set
from tests.core.examples import NOON, conversation, talk


def rules(examined: Examined) -> list[str]:
    return [finding.rule for finding in examined.findings]


def test_a_good_conversation_has_no_findings_a_language_and_a_score() -> None:
    found = examine(conversation("노트북이 켜지지 않아요", "먼저 충전기를 꽂아 보세요."), tokens=20, max_tokens=512)
    assert (found.findings, found.accepted, found.language) == ((), True, "ko")
    assert 0.5 < found.quality <= 1.0


def test_everything_wrong_is_found_at_once() -> None:
    gate = GatePrompts([conversation("What is the capital of France?", "```The capital of France is Paris", id="g")])
    found = examine(
        conversation("What is the capital of France?", "```The capital of France is Paris"),
        tokens=600, max_tokens=512, contamination=gate,
    )  # fmt: skip
    assert set(rules(found)) == {"unclosed_code_fence", "too_many_tokens", "contaminated"}
    assert found.quality_parts["heuristics"] == 0.0
    assert not found.accepted


def test_another_language_may_have_been_agreed_on_in_an_earlier_turn() -> None:
    reply = "Please check the power cable first."
    assert rules(examine(conversation("노트북이 켜지지 않아요", reply))) == ["language_mismatch"]
    agreed = talk("이제부터 영어로 대답해 줘", "Sure.", "노트북이 켜지지 않아요")
    assert rules(examine(conversation(reply=reply, messages=agreed))) == []
    system = talk("노트북이 켜지지 않아요", system="You answer in English.")
    assert rules(examine(conversation(reply=reply, messages=system))) == []


def test_a_short_answer_has_the_language_of_its_question() -> None:
    assert examine(conversation("프랑스의 수도는 어디인가요?", "Paris")).language == "ko"
    assert examine(conversation("hi", "네")).language == "ko"
    assert examine(conversation("1+1?", "2")).language == "other"


def test_a_reply_that_was_cut_off_is_incomplete() -> None:
    assert rules(examine(conversation(complete=False))) == ["incomplete"]


def test_a_refusal_and_abuse_are_marked_not_rejected() -> None:
    found = examine(conversation("야 이 병신아", "죄송하지만 그 요청은 도와드릴 수 없습니다."))
    assert [(f.rule, f.severity, f.where) for f in found.findings] == [
        ("refusal", "warning", "reply"),
        ("toxic_words", "warning", "messages[0]"),
    ]
    assert found.accepted
    assert found.quality_parts["heuristics"] == 0.5, "what a user says does not make the reply worse"


def test_what_names_one_person_waits_for_a_person() -> None:
    unique = {"rrn": 1, "email": 2}
    assert [(f.rule, f.severity) for f in examine(conversation(), personal=unique).findings] == [
        ("personal_data", "error")
    ]
    released = examine(conversation(), personal=unique, hints=Hints(released=True))
    assert [(f.rule, f.severity, f.message) for f in released.findings] == [
        ("personal_data_masked", "warning", "Masked: email 2, rrn 1")
    ]
    assert rules(examine(conversation(), personal={"phone": 1})) == ["personal_data_masked"]
    assert rules(examine(conversation(), personal={"phone": 0})) == []


def test_a_loop_an_echo_and_noise_are_rejected() -> None:
    assert "looping" in rules(examine(conversation(reply="그리고 " * 20)))
    assert rules(examine(conversation("하늘은 왜 파란가요?", "하늘은 왜  파란가요?"))) == ["reply_repeats_user"]
    assert rules(examine(conversation(reply="Lorem ipsum dolor sit amet"))) == ["lorem_ipsum"]


def test_a_greeting_may_be_returned() -> None:
    assert rules(examine(conversation("안녕하세요!", "안녕하세요!"))) == []
    assert rules(examine(conversation("Good morning", "good morning"))) == []


def test_no_finding_quotes_the_conversation() -> None:
    secret = "비밀스러운이야기"
    bad = conversation(f"{secret}?", f"{secret} 병신 " * 40 + "```", complete=False)
    found = examine(bad, tokens=9, max_tokens=1, personal={"rrn": 1})
    assert len(found.findings) >= 5
    assert secret not in str(found.findings)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(texts, texts, st.booleans())
def test_anything_can_be_examined_and_every_code_is_known(asked: str, reply: str, complete: bool) -> None:
    found = examine(conversation(asked, reply, complete=complete), tokens=5, max_tokens=4, personal={"email": 1})
    assert set(rules(found)) <= REASONS.keys()
    assert {f.rule for f in found.findings if f.severity == "warning"} <= {
        code for code, reason in REASONS.items() if reason.kind == "warning"
    }
    assert found.language in {"ko", "en", "other"}
    assert 0.0 <= found.quality <= 1.0


@pytest.mark.parametrize("unit", [".", "f*", "죄송", "죄송 가나다", "시1", "`", "\n", "sorry i ", "e\u0301\u0327"])
def test_the_time_grows_with_the_length_not_with_its_square(unit: str) -> None:
    text = unit * (60_000 // len(unit)) + "x"
    started = time.process_time()
    examine(conversation(text, text + "y"))
    assert time.process_time() - started < 3


def test_feedback_moves_the_score() -> None:
    good, bad = (examine(conversation(), hints=Hints(thumb=thumb)).quality for thumb in (1, -1))
    assert good > bad


def test_the_replay_set_passes_every_rule() -> None:
    assert [c.id for c in read_set(REPLAY) if not examine(c).accepted] == []


@pytest.mark.parametrize(("language", "least", "errors"), [("english", 2_300, 30), ("korean", 690, 6)])
def test_real_conversations_pass(language: str, least: int, errors: int) -> None:
    topics = [path.stem for path in sorted((corpus.corpus_folder() / language).glob("*.yml"))]
    said = [Conversation(**row, source="import", created_at=NOON) for row in corpus.rows(corpus.load(topics, language))]
    found = [examine(one) for one in said]
    assert sum(one.accepted for one in found) >= least
    wrong = {f.rule for one in found for f in one.findings if f.severity == "error"}
    assert wrong <= {"empty_reply", "reply_repeats_user", "language_mismatch"}
    assert sum(not one.accepted for one in found) <= errors
