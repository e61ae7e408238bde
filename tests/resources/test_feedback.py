from typing import Any

import pytest
from pydantic import ValidationError

from resources.feedback import Feedback, FeedbackSaved
from resources.store import NotFound, Store
from tests.resources.examples import conversation, fill


def say(store: Store, id: str = "own", **what: Any) -> FeedbackSaved:
    return store.conversations.feedback(Feedback(conversation_id=id, **what))


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"rating": 5, "thumb": 1},
        {"rating": 0},
        {"rating": 6},
        {"thumb": 0},
        {"thumb": 2},
        {"stars": 3},
        {"corrected_reply": " \n"},
    ],
)
def test_feedback_says_something_possible_once(what: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Feedback(conversation_id="c", **what)


def test_feedback_for_an_unknown_conversation_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        say(store, "nowhere", thumb=1)


@pytest.mark.parametrize(
    ("what", "eligible"),
    [
        ({"rating": 3}, False),
        ({"rating": 4}, True),
        ({"rating": 5}, True),
        ({"thumb": 1}, True),
        ({"thumb": -1}, False),
    ],
)
def test_an_own_reply_becomes_eligible_by_praise(store: Store, what: dict[str, Any], eligible: bool) -> None:
    fill(store, "own", provenance="self")
    saved = say(store, **what)
    assert saved.eligible is eligible
    assert saved.reason == (None if eligible else "own_reply_without_feedback")
    assert store.conversations.waiting() == int(eligible)


def test_the_latest_rating_counts(store: Store) -> None:
    fill(store, "own", provenance="self")
    say(store, thumb=1)
    assert not say(store, rating=1).eligible
    found = store.conversations.get("own")
    assert found is not None
    assert (found.rating, found.thumb, found.eligible) == (1, None, False)


def test_a_comment_leaves_the_rating_as_it_is(store: Store) -> None:
    fill(store, "own", provenance="self")
    say(store, thumb=1)
    assert say(store, comment="thank you").eligible


def test_praise_for_what_is_known_already_changes_nothing(store: Store) -> None:
    fill(store, "human")
    store.conversations.capture([conversation("own", "What is human?", provenance="self")])
    saved = say(store, thumb=1)
    assert (saved.eligible, saved.reason) == (False, "duplicate")


def test_of_two_equal_own_replies_that_are_praised_one_is_eligible(store: Store) -> None:
    store.conversations.capture([conversation(id, "Same?", provenance="self") for id in ("a", "b")])
    assert say(store, "a", thumb=1).eligible
    assert say(store, "b", thumb=1).reason == "duplicate"
    assert say(store, "a", thumb=1).eligible


def test_blame_after_the_claim_is_kept_and_moves_nothing(store: Store) -> None:
    fill(store, "own", provenance="self")
    say(store, thumb=1)
    store.versions.claim("run")
    assert say(store, thumb=-1).eligible
    found = store.conversations.get("own")
    assert found is not None
    assert (found.version, found.thumb) == (1, -1)


def test_blame_for_what_a_human_wrote_does_not_take_it_out(store: Store) -> None:
    fill(store, "human")
    assert say(store, "human", thumb=-1).eligible


def test_a_corrected_reply_is_a_conversation_beside_the_first(store: Store) -> None:
    fill(store, "own", provenance="self", user_id="u")
    saved = say(store, thumb=-1, corrected_reply="What it should have said.")
    assert (saved.eligible, saved.corrected_id) == (False, "own.corrected")
    corrected, original = store.conversations.get("own.corrected"), store.conversations.get("own")
    assert corrected is not None
    assert original is not None
    assert corrected.eligible
    assert corrected.conversation.reply == "What it should have said."
    assert corrected.conversation.messages == original.conversation.messages
    assert corrected.conversation.provenance == "self_edited"
    assert (corrected.conversation.user_id, corrected.conversation.thread_id) == ("u", "own")


def test_a_second_correction_gets_an_id_of_its_own(store: Store) -> None:
    fill(store, "own_1%", provenance="self")
    fill(store, "ownX1%.corrected")
    ids = [say(store, "own_1%", corrected_reply=reply).corrected_id for reply in ("One.", "Two.")]
    assert ids == ["own_1%.corrected", "own_1%.corrected.2"]


def standing(store: Store, id: str) -> tuple[bool, str | None]:
    found = store.conversations.get(id)
    assert found is not None
    return found.eligible, found.reason


def test_only_the_latest_correction_of_a_turn_waits(store: Store) -> None:
    fill(store, "own", provenance="self")
    for reply in ("One.", "Two.", "Two."):
        say(store, corrected_reply=reply)
    say(store, "own.corrected", thumb=1)
    assert standing(store, "own.corrected") == (False, "superseded")
    assert standing(store, "own.corrected.2") == (False, "superseded")
    assert standing(store, "own.corrected.3") == (True, None)
    assert store.conversations.waiting() == 1


def test_a_correction_that_a_version_has_stays_in_it(store: Store) -> None:
    fill(store, "own", provenance="self")
    say(store, corrected_reply="One.")
    store.versions.claim("run")
    say(store, corrected_reply="Two.")
    assert standing(store, "own.corrected") == (True, None)
    assert standing(store, "own.corrected.2") == (True, None)


def test_a_correction_of_a_correction_leaves_the_others_alone(store: Store) -> None:
    fill(store, "own", provenance="self")
    say(store, corrected_reply="One.")
    say(store, "own.corrected", corrected_reply="Deeper.")
    say(store, corrected_reply="Two.")
    assert standing(store, "own.corrected.corrected") == (True, None)
    assert standing(store, "own.corrected") == (False, "superseded")


def test_blame_that_leaves_nothing_to_train_on_cancels_who_asked(store: Store) -> None:
    fill(store, "own", provenance="self")
    say(store, thumb=1)
    store.triggers.add("manual", True, {})
    say(store, thumb=-1)
    assert store.triggers.next() is None
