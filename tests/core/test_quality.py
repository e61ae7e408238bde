import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quality import NO_HINTS, Hints, length_percentile, quality_of
from core.rules import Finding
from tests.core.examples import conversation

WARNING = Finding(rule="refusal", severity="warning", where="reply", message="m")
ERROR = Finding(rule="repeated_lines", severity="error", where="reply", message="m")


def test_without_feedback_and_judge_the_other_weights_share_the_whole() -> None:
    score, parts = quality_of(conversation(reply="가" * 70), [])
    assert parts == {"heuristics": 1.0, "length": pytest.approx(0.516, abs=0.001)}
    assert score == pytest.approx((0.3 * 1.0 + 0.1 * parts["length"]) / 0.4, abs=1e-4)


def test_all_four_parts_weigh_as_documented() -> None:
    score, parts = quality_of(conversation(), [WARNING], Hints(rating=4, judge=0.5))
    assert parts["feedback"] == 0.75
    assert parts["heuristics"] == 0.5
    assert score == pytest.approx(0.4 * 0.75 + 0.3 * 0.5 + 0.2 * 0.5 + 0.1 * parts["length"], abs=1e-4)


@pytest.mark.parametrize(
    ("hints", "provenance", "feedback"),
    [
        (Hints(rating=1), "human", 0.0),
        (Hints(rating=5), "human", 1.0),
        (Hints(thumb=1), "self", 1.0),
        (Hints(thumb=-1), "self", 0.0),
        (Hints(rating=3, thumb=1), "self", 0.75),
        (NO_HINTS, "self_edited", 1.0),
        (NO_HINTS, "teacher", None),
    ],
)
def test_feedback_is_the_mean_of_what_people_said(hints: Hints, provenance: str, feedback: float | None) -> None:
    assert quality_of(conversation(provenance=provenance), [], hints)[1].get("feedback") == feedback


def test_an_error_leaves_nothing_of_the_heuristics() -> None:
    assert quality_of(conversation(), [ERROR, WARNING])[1]["heuristics"] == 0.0


def test_a_korean_reply_is_as_long_as_the_english_one_that_says_the_same() -> None:
    english = length_percentile("Put the egg in boiling water and cook it for about ten minutes.")
    assert length_percentile("달걀을 끓는 물에 넣고 십 분쯤 삶으세요.") == pytest.approx(english, abs=0.1)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(texts, st.one_of(st.none(), st.integers(1, 4)), st.one_of(st.none(), st.floats(0, 1)))
def test_better_feedback_and_fewer_findings_never_lower_it(reply: str, rating: int | None, judge: float | None) -> None:
    said = conversation(reply=reply)
    hints = Hints(rating=rating, judge=judge)
    score, parts = quality_of(said, [WARNING], hints)
    assert 0.0 <= score <= 1.0
    assert all(0.0 <= value <= 1.0 for value in parts.values())
    assert quality_of(said, [], hints)[0] >= score >= quality_of(said, [WARNING, ERROR], hints)[0]
    if rating is not None:
        assert quality_of(said, [WARNING], Hints(rating=rating + 1, judge=judge))[0] >= score


@given(texts, texts)
def test_a_longer_reply_is_never_shorter(reply: str, more: str) -> None:
    assert length_percentile(reply) <= length_percentile("x" + reply + more)
