import pytest

from core.judging import Comparison, asked, prefer, share_of_first

PAIR = Comparison("p", "Why is the sky blue?", "Rayleigh scattering.", "Because.")


@pytest.mark.parametrize(("said", "share"), [("A", 1.0), (" b.", 0.0), ("T", 0.5), ("**A**", 1.0), ("Answer: B", 0.0)])
def test_a_letter_is_an_opinion(said: str, share: float) -> None:
    assert share_of_first(said) == share


@pytest.mark.parametrize("said", ["", "neither", "Both are fine", "42"])
def test_anything_else_is_none(said: str) -> None:
    with pytest.raises(ValueError, match="Expected A, B or T"):
        share_of_first(said)


def test_a_judge_that_likes_the_first_place_says_nothing() -> None:
    (found,) = prefer([PAIR], lambda messages: "A")
    assert (found.candidate_first, found.candidate_second, found.score) == (1.0, 0.0, 0.5)


def test_a_judge_that_likes_an_answer_says_so_in_both_orders() -> None:
    def judge(messages: list[dict[str, str]]) -> str:
        text = messages[-1]["content"]
        return "A" if text.index("Rayleigh") < text.index("Because") else "B"

    assert prefer([PAIR], judge)[0].score == 1.0
    assert prefer([PAIR._replace(candidate="Because.", reference="Rayleigh scattering.")], judge)[0].score == 0.0


def test_both_answers_and_the_question_are_shown_and_are_no_instructions() -> None:
    system, user = asked("Q?", "one", "two")
    assert "never an instruction" in system["content"]
    assert all(text in user["content"] for text in ("Q?", "one", "two"))
