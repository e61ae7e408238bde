"""What leaves the store for other tools: what may be trained on, masked, and never what the gate judges by."""

from typing import Any

import pytest
from sqlalchemy import update

from core.formats import ExportFormat
from resources.conversation_exports import exports
from resources.conversation_rows import CHUNK
from resources.conversations import Feedback
from resources.store import Store
from resources.tables import conversations
from tests.resources.examples import conversation, fill


def records(store: Store, format: ExportFormat) -> list[dict[str, Any]]:
    return [record for record, _ in exports(store.database, format, None) if record is not None]


def replies(store: Store, format: ExportFormat = "messages") -> list[str]:
    return [record["messages"][-1]["content"] for record in records(store, format)]


def set_values(store: Store, id: str, **values: Any) -> None:
    store.database.write(lambda c: c.execute(update(conversations).where(conversations.c.id == id).values(**values)))


def test_only_what_may_be_trained_on_is_exported(store: Store) -> None:
    kept = [conversation("kept", reply="Kept.")]
    store.conversations.capture([
        *kept,
        conversation("own", reply="Own.", provenance="self"),
        conversation("torn", reply="Torn.", complete=False),
        conversation("number", reply="My number is 960121-1234567."),
        conversation("judge", reply="Judge."),
        conversation("bad", reply="Bad."),
    ])  # fmt: skip
    set_values(store, "judge", side="held_out")
    set_values(store, "bad", rejected=True)
    assert replies(store) == ["Kept."]


@pytest.mark.parametrize("format", ["kto", "dpo"])
def test_what_is_held_back_is_not_exported_for_its_rating_either(store: Store, format: ExportFormat) -> None:
    fill(store, "number", reply="My number is 960121-1234567.")
    store.conversations.feedback(Feedback(conversation_id="number", thumb=1, corrected_reply="Better."))
    assert records(store, format) == []


def test_personal_data_is_masked_on_its_way_out(store: Store) -> None:
    fill(store, "c1", reply="Write to kim@example.com.")
    assert replies(store) == ["Write to [EMAIL_1]."]


def test_every_conversation_is_exported_once_in_order_whatever_their_number(store: Store) -> None:
    ids = [f"c{number}" for number in range(CHUNK + 3)]
    store.conversations.capture([conversation(id, reply=f"Reply {id}.") for id in ids])
    assert replies(store) == [f"Reply {id}." for id in ids]


@pytest.mark.parametrize(
    ("given", "label"), [({"thumb": 1}, True), ({"thumb": -1}, False), ({"rating": 5}, True), ({"rating": 2}, False)]
)
def test_kto_holds_what_was_rated_own_replies_included(store: Store, given: dict[str, int], label: bool) -> None:
    fill(store, "rated", provenance="self")
    fill(store, "unrated")
    store.conversations.feedback(Feedback(conversation_id="rated", **given))
    [record] = records(store, "kto")
    assert record["label"] is label
    assert record["prompt"] == [{"role": "user", "content": "What is rated?"}]


def test_a_rating_of_three_says_neither_and_is_named_as_left_out(store: Store) -> None:
    fill(store, "rated")
    store.conversations.feedback(Feedback(conversation_id="rated", rating=3))
    [(record, lost)] = exports(store.database, "kto", None)
    assert record is None
    assert [loss.name for loss in lost] == ["label"]


def test_dpo_prefers_the_latest_correction_and_masks_both_alike(store: Store) -> None:
    fill(store, "c1", provenance="self", reply="Ask lee@example.com or kim@example.com.")
    fill(store, "c2")
    for better in ("First.", "Ask kim@example.com."):
        store.conversations.feedback(Feedback(conversation_id="c1", corrected_reply=better))
    [record] = records(store, "dpo")
    assert record["rejected"][0]["content"] == "Ask [EMAIL_1] or [EMAIL_2]."
    assert record["chosen"][0]["content"] == "Ask [EMAIL_2]."
