from core.decontamination import GatePrompts
from core.examination import Examined, examine
from core.quality import Hints
from resources.reference_sets import REPLAY, read_set
from tests.core.examples import conversation, talk


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


def test_feedback_moves_the_score() -> None:
    good, bad = (examine(conversation(), hints=Hints(thumb=thumb)).quality for thumb in (1, -1))
    assert good > bad


def test_the_replay_set_passes_every_rule() -> None:
    assert {c.id: rules(examine(c)) for c in read_set(REPLAY) if examine(c).findings} == {}
