from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from core.pii import mask_personal
from resources.recognisers import RecogniserMissing, name_and_version, recogniser
from tests.resources.examples import conversation


@dataclass(frozen=True)
class Result:
    entity_type: str
    start: int
    end: int
    score: float


class Engine:
    """Answers as Presidio's AnalyzerEngine does; it knows two names, and calls a number a phone."""

    supported_languages = ("en", "ko")

    def get_supported_entities(self, language: str) -> list[str]:
        return ["PERSON", "PHONE_NUMBER"] + (["LOCATION"] if language == "en" else [])

    def analyze(self, text: str, language: str, entities: list[str]) -> list[Result]:
        known = {"en": ("Grace Hopper", "PERSON", 0.85), "ko": ("홍길동", "PERSON", 0.6)}
        word, entity, score = known[language]
        found = [Result(entity, text.find(word), text.find(word) + len(word), score)] if word in text else []
        found += [Result("PHONE_NUMBER", 0, 3, 1.0), Result("PERSON", 0, 2, 0.2)]
        return [one for one in found if one.entity_type in entities]


def test_nobody_looks_unless_it_is_switched_on() -> None:
    assert recogniser("none") is None
    assert name_and_version("none") == ""


def test_names_of_both_languages_are_masked_and_the_rules_keep_what_is_theirs() -> None:
    said = conversation(question="홍길동 010-1234-5678", reply="Grace Hopper: kim@example.com, 홍길동")
    masked, counts = mask_personal(said, recogniser("presidio", Engine()))
    assert masked.last_user == "[NAME_1] [PHONE_1]"
    assert masked.reply == "[NAME_2]: [EMAIL_1], [NAME_1]"
    assert counts == {"name": 3, "phone": 1, "email": 1}


def test_only_what_is_sure_enough_and_has_no_rule_is_taken() -> None:
    recognise = recogniser("presidio", Engine())
    assert recognise is not None
    assert [(one.kind, one.certain) for one in recognise("abc Grace Hopper")] == [("name", True)]
    assert [(one.kind, one.certain) for one in recognise("홍길동")] == [("name", False)]


@pytest.mark.parametrize("before", [0, 99_800, 99_894, 99_995, 100_000, 250_000])
def test_a_name_is_found_once_wherever_it_stands_in_a_long_text(before: int) -> None:
    recognise = recogniser("presidio", Engine())
    assert recognise is not None
    found = recognise("." * before + "Grace Hopper" + "." * 150_000)
    assert [(one.start, one.end) for one in found] == [(before, before + len("Grace Hopper"))]


@pytest.mark.skipif(find_spec("presidio_analyzer") is not None, reason="it is installed here")
def test_without_the_package_the_error_says_what_to_install() -> None:
    with pytest.raises(RecogniserMissing, match=r"recognisers\.in"):
        recogniser("presidio")
