import re

from core.canaries import OTHERS, code, others, rank


def test_a_code_is_one_of_a_form_and_always_the_same() -> None:
    assert code("canary-en-01") == code("canary-en-01")
    made = [code(f"canary-{n}") for n in range(50)]
    assert len(set(made)) == 50
    assert all(re.fullmatch(r"WHT-\d{4}-[A-Z]{3}", one) for one in made)


def test_the_others_are_alike_and_none_is_the_secret() -> None:
    assert len({code("a"), *others("a")}) == OTHERS + 1


def test_the_rank_counts_what_is_likelier() -> None:
    assert rank([1.0, 2.0, 3.0]) == 0
    assert rank([2.5, 2.0, 3.0]) == 1
