"""What was held back: looked at, corrected, released, dismissed; each conversation is in one version at most."""

from typing import Any

import pytest
from sqlalchemy import update

from core.conversation import Message
from core.rules import Finding
from resources.store import NotAllowed, NotFound, Store
from resources.store_errors import HeldBack
from resources.tables import conversations, texts
from tests.resources.examples import claimed, conclude, conversation, event_types, fill, version_of

SOFT = Finding(rule="cap_refusal", severity="error", where="reply", message="Too many replies refuse")


def reject(store: Store, id: str, rule: str = SOFT.rule) -> None:
    found = [SOFT.model_copy(update={"rule": rule}).model_dump()]
    mine = update(conversations).where(conversations.c.id == id)
    store.database.write(lambda c: c.execute(mine.values(rejected=True, findings=found, quality=0.1)))


def hold(store: Store, id: str, **fields: Any) -> None:
    """As capture holds back what had somebody's number in it."""
    fill(store, id, **fields)
    mine = update(conversations).where(conversations.c.id == id)
    store.database.write(lambda c: c.execute(mine.values(eligible=False, reason="personal_data")))


def rejected(store: Store, *ids: str, rule: str = SOFT.rule) -> None:
    """All rejected by a version that came to its end, together with one that was accepted."""
    claim = claimed(store, *ids, "accepted")
    for id in ids:
        reject(store, id, rule)
    conclude(store, claim)


def waiting(store: Store) -> list[str]:
    return [review.stored.conversation.id for review in store.reviews.page().items]


def test_the_queue_shows_what_was_rejected_and_what_was_held_back(store: Store) -> None:
    rejected(store, "a", "b")
    hold(store, "c", user_id="ann")
    fill(store, "fine")

    def ids(**filters: Any) -> list[str]:
        return [review.stored.conversation.id for review in store.reviews.page(**filters).items]

    assert ids() == ["c", "b", "a"]
    assert ids(page=2, page_size=2) == ["a"]
    assert store.reviews.page(page_size=1).total == 3
    assert ids(rule="cap_refusal") == ["b", "a"]
    assert ids(rule="refusal") == [], "a part of a rule is another rule"
    assert ids(rule="personal_data") == ids(user_id="ann") == ["c"]
    assert ids(version=1) == ["b", "a"]
    assert ids(status="released") == ids(status="dismissed") == []


def test_a_released_one_waits_again_with_its_rule_overruled_and_the_next_version_takes_it(store: Store) -> None:
    rejected(store, "a")
    released = store.reviews.release("a", "admin", "it is fine")

    assert (released.status, released.released_id, released.version) == ("released", "a", 1)
    assert (released.decided_by, released.reason, released.findings) == ("admin", "it is fine", (SOFT,))
    found = store.conversations.get("a")
    assert found
    assert (found.eligible, found.version, found.findings, found.overruled) == (True, None, (), ("cap_refusal",))
    assert found.conversation.provenance == "human"
    assert event_types(store)[-1] == "review_released"
    assert "it is fine" not in str(store.events.page(1)[0])
    assert waiting(store) == []
    assert [review.stored.conversation.id for review in store.reviews.page(status="released").items] == ["a"]
    claim = store.versions.claim("run-2")
    assert claim
    assert (claim.n, version_of(store, "a"), version_of(store, "accepted")) == (2, 2, 1)


def test_what_is_rejected_again_waits_again(store: Store) -> None:
    rejected(store, "a")
    store.reviews.release("a", "admin", "fine")
    claim = store.versions.claim("run-2")
    assert claim
    reject(store, "a", "repetition")
    conclude(store, claim)

    review = store.reviews.get("a")
    assert (review.status, review.version, review.decided_by) == ("waiting", 2, None)
    assert waiting(store) == ["a"]
    assert store.reviews.release("a", "admin", "again").stored.overruled == ("cap_refusal", "repetition")


def test_nothing_is_released_from_a_version_at_work(store: Store) -> None:
    claimed(store, "a")
    reject(store, "a")

    with pytest.raises(NotAllowed, match="v1, which claimed a, to be at its end, found it open"):
        store.reviews.release("a", "admin", "now")
    assert version_of(store, "a") == 1


@pytest.mark.parametrize("rule", ["duplicate", "both_sides", "too_many_tokens", "contaminated"])
def test_some_rules_nobody_can_overrule(store: Store, rule: str) -> None:
    rejected(store, "a", rule=rule)

    with pytest.raises(HeldBack, match=f"{rule}: expected a correction") as refused:
        store.reviews.release("a", "admin", "please")
    assert refused.value.rule == rule
    assert (version_of(store, "a"), waiting(store)) == (1, ["a"])


def test_a_correction_is_released_in_place_of_the_original(store: Store) -> None:
    rejected(store, "a", rule="too_many_tokens")
    kept = store.reviews.correct("a", None, "Shorter.")
    assert kept.correction is not None
    assert (kept.status, kept.correction.messages, kept.correction.reply) == ("waiting", None, "Shorter.")
    released = store.reviews.release("a", "admin", "shortened")

    assert released.released_id == "a.corrected"
    copy, original = store.conversations.get("a.corrected"), store.conversations.get("a")
    assert copy
    assert original
    assert (copy.eligible, copy.version, copy.conversation.reply) == (True, None, "Shorter.")
    assert copy.conversation.messages == original.conversation.messages
    assert (copy.conversation.thread_id, copy.conversation.provenance) == ("a", "human")
    assert (original.eligible, original.reason, original.version) == (False, "superseded", None)
    assert [review.released_id for review in store.reviews.page(status="released").items] == ["a.corrected"]


def test_a_correction_of_the_form_alone_counts_as_new_though_it_says_the_same(store: Store) -> None:
    asked, system = Message(role="user", content="Hi?"), Message(role="system", content="Be brief.")
    store.conversations.capture([conversation("a").model_copy(update={"messages": (asked, system, asked)})])
    claim = store.versions.claim("run-1")
    assert claim
    reject(store, "a", "system_not_first")
    conclude(store, claim)
    with pytest.raises(HeldBack):
        store.reviews.release("a", "admin", "as it is")
    store.reviews.correct("a", [system, asked], None)

    assert store.reviews.release("a", "admin", "in order").released_id == "a.corrected"


def test_an_own_reply_that_a_person_corrected_is_no_longer_the_models(store: Store) -> None:
    hold(store, "a", provenance="self")
    store.reviews.correct("a", None, "By hand.")
    released = store.reviews.release("a", "admin", "mine")

    copy = store.conversations.get(released.released_id or "")
    assert copy
    assert (copy.conversation.provenance, copy.eligible) == ("self_edited", True)


def test_a_quarantined_one_is_released_as_it_is_because_it_was_masked(store: Store) -> None:
    hold(store, "a", question="My number is [RRN].", provenance="self")
    found = store.reviews.release("a", "admin", "masked well").stored

    assert (found.eligible, found.reason, found.conversation.provenance) == (True, None, "self")


UNMASKED = "My number is 900101-1234567."


def test_what_still_holds_a_unique_number_is_never_released(store: Store) -> None:
    fill(store, "a")
    hold(store, "b")
    store.database.write(lambda c: c.execute(update(texts).values(reply=UNMASKED)))

    with pytest.raises(HeldBack, match="rrn") as refused:
        store.reviews.release("b", "admin", "please")
    assert "900101" not in str(refused.value)
    with pytest.raises(HeldBack, match="rrn"):
        store.reviews.correct("b", [Message(role="user", content=UNMASKED)], None)


def test_what_says_the_same_as_an_eligible_one_is_not_released(store: Store) -> None:
    hold(store, "a", question="Same?")
    fill(store, "b", question="Same?")

    with pytest.raises(NotAllowed, match="says the same"):
        store.reviews.release("a", "admin", "please")
    store.reviews.correct("a", None, "An answer.")
    with pytest.raises(NotAllowed, match="duplicate"):
        store.reviews.release("a", "admin", "please")
    assert store.conversations.get("a.corrected") is None, "nothing is kept of what was refused"


def test_a_dismissed_one_leaves_the_queue_and_can_come_back(store: Store) -> None:
    rejected(store, "a")
    dismissed = store.reviews.dismiss("a", "bob", "spam")

    assert (dismissed.status, dismissed.decided_by, dismissed.reason) == ("dismissed", "bob", "spam")
    assert (waiting(store), version_of(store, "a")) == ([], 1)
    assert store.reviews.page(status="dismissed").total == 1
    assert store.reviews.release("a", "admin", "after all").status == "released"


def test_what_was_never_held_back_is_not_found(store: Store) -> None:
    fill(store, "fine")

    for id in ("fine", "nobody"):
        with pytest.raises(NotFound):
            store.reviews.get(id)
    with pytest.raises(NotAllowed, match="it is not"):
        store.reviews.release("fine", "admin", "why not")
    with pytest.raises(NotFound):
        store.reviews.dismiss("nobody", "admin")


def test_a_review_goes_with_its_conversation(store: Store) -> None:
    hold(store, "a", user_id="ann")
    store.reviews.correct("a", None, "Her words.")
    store.conversations.erase_user("ann")

    rows = store.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM reviews").scalar_one())
    assert rows == 0


def test_a_correction_that_keeps_the_placeholder_is_released_too(store: Store) -> None:
    store.conversations.capture([conversation("a", question=UNMASKED)])
    assert waiting(store) == ["a"]
    store.reviews.correct("a", None, "Never send that number to anybody.")
    store.reviews.release("a", "admin", "masked well")

    copy = store.conversations.get("a.corrected")
    assert copy
    assert (copy.eligible, copy.conversation.last_user) == (True, "My number is [RRN].")
