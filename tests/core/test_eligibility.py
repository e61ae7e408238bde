import pytest

from core.eligibility import decide
from tests.core.examples import conversation


@pytest.mark.parametrize(
    ("fields", "hash_known", "positive", "reason"),
    [
        ({"provenance": "human"}, False, False, None),
        ({"provenance": "teacher"}, False, False, None),
        ({"provenance": "self_edited"}, False, False, None),
        ({"provenance": "self"}, False, False, "own_reply_without_feedback"),
        ({"provenance": "self"}, False, True, None),
        ({"provenance": "self"}, True, True, "duplicate"),
        ({"provenance": "human"}, True, False, "duplicate"),
        ({"provenance": "self", "complete": False}, True, True, "incomplete"),
    ],
)
def test_who_may_be_claimed(fields: dict[str, object], hash_known: bool, positive: bool, reason: str | None) -> None:
    decided = decide(conversation(**fields), hash_known=hash_known, positive_feedback=positive)
    assert (decided.eligible, decided.reason) == (reason is None, reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"provenance": "human"}, "personal_data"),
        ({"provenance": "self"}, "personal_data"),
        ({"complete": False}, "incomplete"),
    ],
)
def test_somebodys_number_holds_back_what_praise_would_let_in(fields: dict[str, object], reason: str) -> None:
    decided = decide(conversation(**fields), hash_known=False, positive_feedback=True, personal_data=True)
    assert (decided.eligible, decided.reason) == (False, reason)


def test_a_provenance_that_is_not_admitted_stays_out() -> None:
    decided = decide(conversation(provenance="teacher"), hash_known=False, admitted=frozenset({"human"}))
    assert decided.reason == "provenance"
