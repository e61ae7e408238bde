"""What names a person by itself is never written, and holds its conversation back until a person releases it."""

from typing import Any

import pytest
from sqlalchemy import select, update

from resources.feedback import Feedback
from resources.store import Store
from resources.tables import conversations, feedback, utc_now
from tests.resources.examples import conversation

RRN = "960121-1021413"
CARD = "4111 1111 1111 1111"


def capture(
    store: Store, id: str = "c1", question: str = f"제 주민번호는 {RRN}입니다", **fields: Any
) -> tuple[bool, str | None]:
    captured = store.conversations.capture([conversation(id, question, **fields)])[0]
    return captured.eligible, captured.reason


def column(store: Store, name: str, id: str = "c1") -> Any:
    query = select(conversations.c[name]).where(conversations.c.id == id)
    return store.database.read(lambda c: c.execute(query).scalar_one())


def release(store: Store, id: str = "c1") -> None:
    released = update(conversations).where(conversations.c.id == id).values(released_at=utc_now(), released_by="ada")
    store.database.write(lambda c: c.execute(released))


def test_it_is_stored_masked_counted_and_held_back(store: Store) -> None:
    assert capture(store, reply=f"카드 {CARD}, 카드 {CARD}, kim@example.com") == (False, "personal_data")
    found = store.conversations.get("c1")
    assert found is not None
    assert found.conversation.last_user == "제 주민번호는 [RRN]입니다"
    assert found.conversation.reply == "카드 [CARD], 카드 [CARD], kim@example.com"
    assert column(store, "personal") == {"rrn": 1, "card": 2}
    assert store.conversations.waiting() == 0


def test_contact_data_and_placeholders_hold_nothing_back(store: Store) -> None:
    assert capture(store, question="kim@example.com, [RRN]") == (True, None)
    assert column(store, "personal") == {}


def test_two_that_differ_in_a_number_alone_are_one_text(store: Store) -> None:
    capture(store)
    capture(store, "c2", "제 주민번호는 850505-2123456입니다")
    assert column(store, "hash", "c1") == column(store, "hash", "c2")


def test_praise_lets_it_in_only_after_a_person_released_it(store: Store) -> None:
    capture(store, provenance="self")
    praised = store.conversations.feedback(Feedback(conversation_id="c1", thumb=1))
    assert (praised.eligible, praised.reason) == (False, "personal_data")
    release(store)
    praised = store.conversations.feedback(Feedback(conversation_id="c1", thumb=1))
    assert (praised.eligible, praised.reason) == (True, None)


def test_what_a_reviewer_writes_is_masked_too(store: Store) -> None:
    capture(store, question="Hello?", provenance="self")
    said = Feedback(conversation_id="c1", comment=f"he said {RRN}", corrected_reply=f"Your card is {CARD}.")
    saved = store.conversations.feedback(said)
    rows = store.database.read(lambda c: c.execute(select(feedback.c.comment, feedback.c.corrected_reply)).all())
    assert [tuple(row) for row in rows] == [("he said [RRN]", "Your card is [CARD].")]
    corrected = store.conversations.get(saved.corrected_id or "")
    assert corrected is not None
    assert (corrected.conversation.reply, corrected.reason) == ("Your card is [CARD].", "personal_data")


@pytest.mark.parametrize(("released", "reason"), [(False, "personal_data"), (True, None)])
def test_a_correction_is_held_back_as_what_it_corrects(store: Store, released: bool, reason: str | None) -> None:
    capture(store, provenance="self")
    if released:
        release(store)
    saved = store.conversations.feedback(Feedback(conversation_id="c1", corrected_reply="Never share it."))
    corrected = store.conversations.get(saved.corrected_id or "")
    assert corrected is not None
    assert corrected.reason == reason


def test_an_incomplete_one_is_judged_by_what_completes_it(store: Store) -> None:
    assert capture(store, complete=False) == (False, "incomplete")
    assert capture(store, reply=f"{CARD}") == (False, "personal_data")
    assert column(store, "personal") == {"rrn": 1, "card": 1}
    assert capture(store, "c2", complete=False) == (False, "incomplete")
    assert capture(store, "c2", "Hello?") == (True, None)
    assert column(store, "personal", "c2") == {}
