"""What preference training is given: pairs and ratings of the training side, masked, nobody's number, a few of each."""

from typing import Any

import pytest

from core.conversation import Conversation
from core.pii import mask_personal
from core.sides import Side
from resources.feedback import Feedback
from resources.preferences import MOST_PER_USER, Least, corrections, ratings, too_few
from resources.reference_sets import GENERAL, read_set
from resources.screening_rows import write_units
from resources.store import Store
from tests.resources.examples import ERROR, conversation, fill, screen

MAIL = "Write to ada@example.com."


def rated(store: Store, id: str, thumb: int, **fields: Any) -> None:
    store.conversations.capture([conversation(id, **{"provenance": "self", **fields})])
    store.conversations.feedback(Feedback(conversation_id=id, thumb=thumb))  # type: ignore[arg-type]


def place(store: Store, **units: Side) -> None:
    named = {f"user:{name}": side for name, side in units.items()}
    store.database.write(lambda c: write_units(c, named))


def trained(store: Store, *ids: str) -> list[Conversation]:
    """As a dataset holds them."""
    found = [store.conversations.get(id) for id in ids]
    return [mask_personal(one.conversation, None)[0] for one in found if one is not None]


def text(record: dict[str, Any], name: str) -> str:
    return record[name][-1]["content"]


def test_a_correction_is_chosen_over_the_reply_it_was_put_in_place_of(store: Store) -> None:
    store.conversations.capture([conversation("a", provenance="self", reply=MAIL), conversation("b")])
    store.conversations.feedback(Feedback(conversation_id="a", corrected_reply="Write to us."))
    (pair,) = corrections(store, trained(store, "a.corrected", "b"), None)
    assert text(pair, "prompt") == "What is a?"
    assert (text(pair, "chosen"), text(pair, "rejected")) == ("Write to us.", "Write to [EMAIL_1].")


def test_a_correction_whose_question_was_changed_is_no_pair(store: Store) -> None:
    fill(store, "a", provenance="self")
    store.conversations.feedback(Feedback(conversation_id="a", corrected_reply="Better."))
    (corrected,) = trained(store, "a.corrected")
    assert corrections(store, [corrected], None) != []
    assert corrections(store, [corrected.model_copy(update={"messages": conversation("z").messages})], None) == []
    assert corrections(store, [corrected.model_copy(update={"id": "gone.corrected"})], None) == []


def test_praise_comes_from_the_dataset_and_blame_from_the_store(store: Store) -> None:
    rated(store, "good", 1, user_id="ada")
    rated(store, "bad", -1, user_id="ada", reply=MAIL)
    fill(store, "unrated")
    place(store, ada="train")
    found = ratings(store, trained(store, "good", "unrated"), None)
    assert [(text(record, "prompt"), record["label"]) for record in found] == [
        ("What is good?", True),
        ("What is bad?", False),
    ]
    assert text(found[1], "completion") == "Write to [EMAIL_1]."


@pytest.mark.parametrize("side", ["held_out", "validation", None])
def test_blame_of_a_side_that_is_not_trained_on_or_not_known_yet_is_left_alone(store: Store, side: Side | None) -> None:
    rated(store, "bad", -1, user_id="ada")
    if side:
        place(store, ada=side)
    assert ratings(store, [], None) == []


def test_a_user_whose_thread_is_held_out_is_left_alone(store: Store) -> None:
    rated(store, "bad", -1, user_id="ada", thread_id="t")
    store.database.write(lambda c: write_units(c, {"user:ada": "train", "thread:t": "held_out"}))
    assert ratings(store, [], None) == []


def test_what_holds_a_number_of_somebody_waits_for_a_person(store: Store) -> None:
    rated(store, "bad", -1, user_id="ada", reply="Her number is 900101-2345678.")
    place(store, ada="train")
    assert ratings(store, [], None) == []


def test_what_the_gate_measures_with_is_not_trained_on_by_blame_either(store: Store) -> None:
    of_the_gate = read_set(GENERAL)[0]
    store.conversations.capture(
        [
            of_the_gate.model_copy(
                update={"id": "bad", "provenance": "self", "user_id": "ada", "reply": of_the_gate.reply}
            )
        ]
    )
    store.conversations.feedback(Feedback(conversation_id="bad", thumb=-1))
    place(store, ada="train")
    assert ratings(store, [], None) == []


def test_blame_of_what_another_user_gave_to_the_held_out_side_is_left_alone(store: Store) -> None:
    asked = "How do I descale the coffee machine on the third floor?"
    reply = "Mix water and citric acid, run two cycles, then rinse with clear water twice."
    store.conversations.capture([conversation("bad", asked, provenance="self", user_id="ada", reply=reply)])
    store.conversations.feedback(Feedback(conversation_id="bad", thumb=-1))
    place(store, ada="train", bob="held_out")
    assert len(ratings(store, [], None)) == 1
    for theirs in (reply, f"{reply}!"):
        held_out = conversation("theirs", asked.upper(), reply=theirs, user_id="bob")
        assert ratings(store, [], None, kept_apart=[conversation("another"), held_out]) == []


def test_what_people_measure_with_is_not_trained_on_by_blame_either(store: Store) -> None:
    rated(store, "bad", -1, user_id="ada")
    place(store, ada="train")
    assert ratings(store, [], None, golden=[conversation("bad", "What is bad?")]) == []


def test_blame_of_what_screening_rejected_is_left_alone(store: Store) -> None:
    fill(store, "bad", user_id="ada")
    claim = store.versions.claim("run")
    assert claim is not None
    store.conversations.feedback(Feedback(conversation_id="bad", thumb=-1))
    place(store, ada="train")
    assert len(ratings(store, [], None)) == 1
    screen(store, claim, {}, {"bad": [ERROR]})
    assert ratings(store, [], None) == []


def test_one_user_blames_a_bounded_number_of_times(store: Store) -> None:
    for at in range(MOST_PER_USER + 3):
        rated(store, f"bad{at}", -1, user_id="ada", reply=f"Answer {at}.")
    rated(store, "other", -1, user_id="bob")
    place(store, ada="train", bob="train")
    assert len(ratings(store, [], None)) == MOST_PER_USER + 1


@pytest.mark.parametrize(
    ("method", "praised", "blamed", "enough"),
    [("kto", 8, 2, True), ("kto", 9, 1, False), ("kto", 7, 2, False), ("kto", 0, 10, False), ("dpo", 3, 0, True),
     ("dpo", 2, 0, False)],
)  # fmt: skip
def test_too_few_are_told_apart_from_enough(method: str, praised: int, blamed: int, enough: bool) -> None:
    records = [{"label": True}] * praised + [{"label": False}] * blamed
    why_not = too_few(method, records, Least(corrections=3, ratings=10, blamed=2))
    assert (why_not is None) == enough
    assert enough or f"found {praised}" in str(why_not)
