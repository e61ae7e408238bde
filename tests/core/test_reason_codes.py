import re
from pathlib import Path

import pytest

from core.reason_codes import REASONS, sentence

ROOT = Path(__file__).parents[2]
GIVEN = r'(?:rule=|_error\(\s*|_finding\(\s*|_over\(\s*|_finding\(rule, |return )"([a-z_]+)"'
LISTED = r'\("([a-z_]+)", (?:loop|_repeated)'
CODE = re.compile(f"{GIVEN}|{LISTED}")


def codes_in_source() -> set[str]:
    sources = [*(ROOT / "core").glob("*.py"), *(ROOT / "resources").glob("screening*.py")]
    looks_like_rules = [path for path in sources if "Finding" in path.read_text() or path.name == "eligibility.py"]
    return {a or b for path in looks_like_rules for a, b in CODE.findall(path.read_text())}


def test_every_code_that_a_check_gives_has_its_sentence() -> None:
    found = codes_in_source()
    assert len(found) > 25, "the search must find something"
    assert found <= REASONS.keys()


@pytest.mark.parametrize("code", REASONS)
def test_a_sentence_is_short_and_says_more_than_the_code(code: str) -> None:
    assert re.fullmatch(r"[a-z_]{1,64}", code)
    assert 10 < len(sentence(code)) < 90
    assert not sentence(code).endswith(".")


def test_a_code_of_an_earlier_version_still_reads() -> None:
    assert sentence("an_old_rule") == "an old rule"
