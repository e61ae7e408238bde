"""What files call people: the same for the same name, readable by nobody, and ours left as it is."""

import pytest

from core.pii import find
from core.pseudonyms import Pseudonyms, digest_of, pseudonym_of
from tests.core.examples import conversation

NAMES = Pseudonyms("5a" * 16)
PEOPLE = ["kim@example.com", "010-1234-5678", "홍길동", "960121-1021413", "u", "p-" + "q" * 32, " ", "가" * 255]


@pytest.mark.parametrize("name", PEOPLE)
def test_a_name_has_one_pseudonym_which_says_nothing_and_is_its_own(name: str) -> None:
    hidden = NAMES.of(name)
    assert hidden == NAMES.of(name) == NAMES.of(hidden) == pseudonym_of(digest_of("5a" * 16, name))
    assert name not in hidden
    assert not any(character.isdigit() for character in hidden)
    assert find(hidden) == []


def test_no_two_names_and_no_two_secrets_make_one() -> None:
    assert len({NAMES.of(name) for name in PEOPLE} | {Pseudonyms("b").of(name) for name in PEOPLE}) == 2 * len(PEOPLE)


@pytest.mark.parametrize(
    "id",
    ["chatcmpl-" + "0a" * 16, f"chatcmpl-{'0a' * 16}.corrected.2", "dataset-3-17.2", f"import-{'0a' * 12}-4",
     f"import-{'0a' * 16}-0.12.corrected"],
)  # fmt: skip
def test_an_id_of_our_making_stays_and_can_be_looked_up(id: str) -> None:
    assert NAMES.id(id) == id
    assert NAMES.unit(f"thread:{id}") == f"thread:{id}"


@pytest.mark.parametrize("id", ["kim@example.com", "chatcmpl-01012345678", "dataset-3-17-kim", "chatcmpl-kim"])
def test_an_id_that_somebody_chose_does_not_and_its_correction_still_says_of_which(id: str) -> None:
    hidden = NAMES.id(id)
    assert hidden == NAMES.of(id)
    for ending in (".corrected", ".corrected.3", ".corrected.corrected.2"):
        assert NAMES.id(id + ending) == hidden + ending == NAMES.id(hidden + ending)


def test_units_go_by_what_the_columns_say() -> None:
    one = conversation(id="a/b", user_id="kim.corrected", session_id="s", thread_id="kim.corrected")
    hidden = NAMES.conversation(one)
    assert NAMES.unit("user:kim.corrected") == f"user:{hidden.user_id}"
    assert NAMES.unit("thread:kim.corrected") == f"thread:{hidden.thread_id}"
    assert NAMES.unit("thread:a/b") == f"thread:{hidden.id}"
    assert hidden.model_copy(update=dict(vars(one))) == one


def test_whoever_is_nobody_stays_nobody_and_nothing_else_changes() -> None:
    one = conversation()
    hidden = NAMES.conversation(one)
    names = {"id", "user_id", "session_id", "thread_id"}
    assert hidden.model_dump(exclude=names) == one.model_dump(exclude=names)
    assert {name for name in names - {"id"} if getattr(hidden, name)} == {
        name for name in names - {"id"} if getattr(one, name)
    }
