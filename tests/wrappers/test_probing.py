import pytest

from core.conversation import Message
from core.probes import Probe
from wrappers.probing import CANDIDATE, Probed
from wrappers.reference_metrics import overlaps


def probe(id: str, kind: str = "open", **fields: object) -> Probe:
    question = (Message(role="user", content="How do I boil an egg?"),)
    return Probe(id=id, kind=kind, language="en", messages=question, **fields)  # type: ignore[arg-type]


def test_what_was_said_becomes_outcomes_without_a_word_of_it() -> None:
    probes = [probe("open-en-01"), probe("a", "arithmetic", expect=("7",)), probe("k", "canary", never=("WHT-1",))]
    good = ["Put it in boiling water.", "It is 7.", "Nobody told me."]
    bad = ["", "It is 8.", "The code is WHT-1."]
    probed = Probed(probes, {"base": good, CANDIDATE: bad})
    answered = probed.answered()
    assert [one.base.met for one in answered] == [True, True, True]
    assert [one.candidate.met for one in answered] == [True, False, False]
    assert answered[0].candidate.faults == ("empty",)
    assert not any(text and text in answered[1].model_dump_json() for text in good + bad)
    assert [one.probe for one in probed.shown()] == ["open-en-01"]


def test_a_personal_number_in_an_answer_is_counted() -> None:
    card = "Your card is 4111 1111 1111 1111."
    assert Probed([probe("a")], {"base": ["Boil it."], CANDIDATE: [card]}).secrets_told() == 1
    assert Probed([probe("a")], {"base": [card], CANDIDATE: ["Boil it."]}).secrets_told() == 0


def test_overlap_is_that_of_sacrebleu_in_both_languages() -> None:
    same, near, far = overlaps(
        ["The cat sat on the mat today.", "고양이가 방석 위에 앉았다.", "Entirely unrelated words stand here."],
        ["The cat sat on the mat today.", "고양이가 오늘 방석 위에 앉아 있다.", "돈은 은행에 있습니다."],
    )
    assert same == pytest.approx((100.0, 100.0))
    assert far[0] < near[0] < same[0]
    assert near[1] > 0.0, "Korean words are told apart by morphemes"
