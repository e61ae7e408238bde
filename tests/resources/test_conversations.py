import threading
from typing import Any

import pytest

from core.conversation import Conversation, Message
from core.live_settings import LiveSettings
from resources.conversations import Captured
from resources.feedback import Feedback
from resources.store import Store, open_store
from tests.resources.examples import NOON, claimed, conversation, fill


def one(store: Store, conversation: Conversation) -> Captured:
    return store.conversations.capture([conversation])[0]


def test_what_is_captured_is_read_back_as_it_was(store: Store) -> None:
    said = Conversation(
        id="c1",
        messages=(Message(role="system", content="Be kind."), Message(role="user", content='안녕하세요 "🙂" \\ \n\t')),
        reply="네, 안녕하세요.",
        user_id="u",
        session_id="s",
        thread_id="t",
        source="chat",
        provenance="teacher",
        model="teacher",
        created_at=NOON,
    )
    assert one(store, said) == Captured("c1", collected=True, duplicate_id=False, eligible=True, reason=None)
    found = store.conversations.get("c1")
    assert found is not None
    assert found.conversation == said
    assert (found.version, found.side, found.findings, found.rating, found.thumb) == (None, None, (), None, None)


def test_an_id_is_stored_once_and_its_first_text_stays(store: Store) -> None:
    one(store, conversation("c1", "first"))
    again = one(store, conversation("c1", "second"))
    assert again == Captured("c1", collected=True, duplicate_id=True, eligible=True, reason=None)
    found = store.conversations.get("c1")
    assert found is not None
    assert found.conversation.last_user == "first"
    assert store.conversations.counts().rows == 1


def test_ids_that_repeat_in_a_batch_are_answered_in_their_order(store: Store) -> None:
    outcomes = store.conversations.capture([conversation("a"), conversation("b"), conversation("a", "other")])
    assert [(o.id, o.duplicate_id) for o in outcomes] == [("a", False), ("b", False), ("a", True)]


@pytest.mark.parametrize("together", [True, False])
def test_the_same_text_under_another_id_is_kept_but_not_eligible(store: Store, together: bool) -> None:
    first, second = conversation("a", "Same?"), conversation("b", "  same? ")
    batches = [[first, second]] if together else [[first], [second]]
    outcomes = [outcome for batch in batches for outcome in store.conversations.capture(batch)]
    assert [(o.collected, o.eligible, o.reason) for o in outcomes] == [(True, True, None), (True, False, "duplicate")]


def test_an_incomplete_conversation_is_completed_under_its_id(store: Store) -> None:
    assert one(store, conversation("c", reply="", complete=False)).reason == "incomplete"
    done = one(store, conversation("c", reply="All of it."))
    assert done == Captured("c", collected=True, duplicate_id=False, eligible=True, reason=None)
    found = store.conversations.get("c")
    assert found is not None
    assert (found.conversation.reply, found.conversation.complete) == ("All of it.", True)


def test_an_incomplete_one_never_overwrites_a_complete_one(store: Store) -> None:
    one(store, conversation("c", reply="All of it."))
    assert one(store, conversation("c", reply="All", complete=False)).duplicate_id
    found = store.conversations.get("c")
    assert found is not None
    assert found.conversation.reply == "All of it."


def test_a_reply_that_breaks_off_keeps_what_came_of_it(store: Store) -> None:
    one(store, conversation("c", reply="", complete=False))
    broken_off = one(store, conversation("c", reply="All", complete=False))
    assert (broken_off.duplicate_id, broken_off.reason) == (False, "incomplete")
    found = store.conversations.get("c")
    assert found is not None
    assert (found.conversation.reply, found.conversation.complete) == ("All", False)


def test_an_own_reply_that_broke_off_is_not_completed_by_words_of_another_provenance(store: Store) -> None:
    one(store, conversation("c", reply="All", complete=False, provenance="self"))
    imported = one(store, conversation("c", reply="All of it.", provenance="human"))
    assert (imported.duplicate_id, imported.eligible, imported.reason) == (True, False, "incomplete")
    found = store.conversations.get("c")
    assert found is not None
    assert (found.conversation.reply, found.conversation.provenance) == ("All", "self")
    assert store.conversations.waiting() == 0


def test_start_and_end_of_a_reply_may_share_a_batch(store: Store) -> None:
    start, end = conversation("c", reply="", complete=False), conversation("c", reply="All of it.")
    outcomes = store.conversations.capture([start, end, end])
    assert [(o.eligible, o.duplicate_id) for o in outcomes] == [(False, False), (True, False), (True, True)]


def test_a_reply_that_turns_out_a_duplicate_when_complete_is_not_eligible(store: Store) -> None:
    one(store, conversation("a", "Same?"))
    one(store, conversation("b", "Same?", reply="", complete=False))
    assert one(store, conversation("b", "Same?")).reason == "duplicate"


def test_an_ineligible_conversation_does_not_make_others_duplicates(store: Store) -> None:
    one(store, conversation("own", "Same?", provenance="self"))
    assert one(store, conversation("human", "Same?")).eligible


def test_concurrent_captures_of_one_text_leave_one_eligible(store: Store, store_url: str) -> None:
    stores = [store, *(open_store(store_url, live_defaults=LiveSettings()) for _ in range(3))]
    together, outcomes = threading.Barrier(len(stores)), []

    def send(number: int) -> None:
        together.wait()
        for text in range(10):
            batch = [conversation(f"{number}.{text}.{i}", f"Same {(text + i * number) % 10}?") for i in range(2)]
            outcomes.extend(stores[number].conversations.capture(batch))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in stores[1:]:
        other.close()
    assert len(outcomes) == 80
    assert sum(outcome.eligible for outcome in outcomes) == 10
    assert {outcome.reason for outcome in outcomes} == {None, "duplicate"}
    counts = store.conversations.counts()
    assert (counts.rows, counts.eligible) == (80, 10)


def test_concurrent_captures_of_one_id_store_it_once(store: Store, store_url: str) -> None:
    other = open_store(store_url, live_defaults=LiveSettings())
    together, outcomes = threading.Barrier(2), []

    def send(to: Store) -> None:
        together.wait()
        for number in range(20):
            outcomes.extend(to.conversations.capture([conversation(f"c{number}")]))

    threads = [threading.Thread(target=send, args=(to,)) for to in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sum(not outcome.duplicate_id for outcome in outcomes) == 20
    assert all(outcome.eligible for outcome in outcomes)
    assert store.conversations.counts().rows == 20


def test_counts_say_what_waits_and_why_the_rest_does_not(store: Store) -> None:
    claimed(store, "in v1")
    fill(store, "waits 1", "waits 2")
    one(store, conversation("duplicate", "What is waits 1?"))
    one(store, conversation("own", provenance="self"))
    one(store, conversation("half", complete=False))
    counts = store.conversations.counts()
    assert (counts.rows, counts.total, counts.filtered_out) == (6, 5, 1)
    assert (counts.eligible, counts.waiting, counts.in_versions, counts.incomplete) == (3, 2, 1, 1)
    assert store.conversations.waiting() == 2


def test_an_empty_store_counts_nothing(store: Store) -> None:
    counts = store.conversations.counts()
    assert (counts.rows, counts.waiting, store.conversations.users()) == (0, 0, 0)
    assert store.conversations.page().items == []
    assert store.conversations.capture([]) == []


def test_users_are_counted_once_each(store: Store) -> None:
    for number, user in enumerate(["a", "a", "b", None]):
        one(store, conversation(f"c{number}", user_id=user))
    assert store.conversations.users() == 2


def test_pages_go_from_the_newest_to_the_oldest(store: Store) -> None:
    fill(store, *(f"c{number}" for number in range(5)))
    pages = [store.conversations.page(page, 2) for page in (1, 2, 3, 4)]
    assert [[item.conversation.id for item in page.items] for page in pages] == [["c4", "c3"], ["c2", "c1"], ["c0"], []]
    assert {page.total for page in pages} == {5}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"user_id": "u1"}, ["c3", "c1"]),
        ({"session_id": "s2"}, ["c2"]),
        ({"source": "chat"}, ["c3"]),
        ({"eligible": True}, ["c2", "c1"]),
        ({"eligible": False}, ["c3"]),
        ({"version": 1}, ["c1"]),
        ({"version": 7}, []),
        ({"user_id": "u1", "eligible": True}, ["c1"]),
        ({"user_id": "u1", "source": "nowhere"}, []),
    ],
)
def test_pages_are_filtered(store: Store, filters: dict[str, Any], expected: list[str]) -> None:
    one(store, conversation("c1", user_id="u1", session_id="s1"))
    store.versions.claim("run")
    one(store, conversation("c2", user_id="u2", session_id="s2"))
    one(store, conversation("c3", user_id="u1", session_id="s1", source="chat", provenance="self"))
    page = store.conversations.page(**filters)
    assert [item.conversation.id for item in page.items] == expected
    assert page.total == len(expected)


def test_a_large_batch_is_one_import(store: Store) -> None:
    batch = [conversation(f"c{number}") for number in range(1200)]
    assert sum(outcome.eligible for outcome in store.conversations.capture(batch)) == 1200
    again = store.conversations.capture(batch)
    assert all(outcome.duplicate_id for outcome in again)
    assert [item.conversation.id for item in store.conversations.page(1, 3).items] == ["c1199", "c1198", "c1197"]


def test_a_thumb_that_came_before_the_reply_was_complete_counts(store: Store) -> None:
    one(store, conversation("c", provenance="self", reply="", complete=False))
    assert not store.conversations.feedback(Feedback(conversation_id="c", thumb=1)).eligible
    assert one(store, conversation("c", provenance="self")).eligible
