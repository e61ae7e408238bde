import pytest

from bench.answers import Answer, distance


def said(words: str, *logprobs: float) -> Answer:
    return Answer(tuple(words.split()), logprobs)


def test_the_same_answers_are_not_apart() -> None:
    one = [said("a b", -1.0, -2.0), said("c", -0.5)]
    assert (distance(one, one).parted, distance(one, one).rms) == (0, 0)


def test_answers_are_compared_up_to_where_they_part() -> None:
    found = distance(
        [said("a b c", -1.0, -2.0, -3.0), said("d", -1.0)], [said("a x c", -1.3, -9.0, -9.0), said("d", -1.4)]
    )
    assert found.parted == 0.5
    assert found.rms == pytest.approx(((0.3**2 + 0.4**2) / 2) ** 0.5)


def test_answers_that_part_at_once_say_nothing_of_probabilities() -> None:
    assert distance([said("a", -1.0)], [said("b", -5.0)]).rms == 0
