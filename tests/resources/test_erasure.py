import json
import stat
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from resources.feedback import Feedback
from resources.store import Fenced, Store
from resources.tables import feedback, texts, units, versions
from resources.versions import Claim
from tests.resources.examples import ERROR, SHA, claimed, conclude, conversation, fill, screen


def number_of(store: Store, table: object) -> int:
    return store.database.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_clearing_deletes_what_is_in_no_version_and_nothing_else(store: Store) -> None:
    claimed(store, "in v1")
    fill(store, "waits")
    fill(store, "own", provenance="self")
    store.conversations.feedback(Feedback(conversation_id="own", rating=2))
    store.triggers.add("manual", True, {})
    cleared = store.conversations.clear_waiting(None)
    assert (cleared.deleted, cleared.backup) == (2, None)
    assert [item.conversation.id for item in store.conversations.page().items] == ["in v1"]
    assert (number_of(store, texts), number_of(store, feedback)) == (1, 0)
    assert store.triggers.next() is None


def test_a_backup_holds_every_deleted_conversation_for_the_owner_alone(store: Store, tmp_path: Path) -> None:
    said = conversation("한국어", "안녕?", provenance="self")
    store.conversations.capture([said, conversation("b")])
    store.conversations.feedback(Feedback(conversation_id="한국어", thumb=-1, comment="no"))
    backup = tmp_path / "backups" / "cleared.jsonl"
    cleared = store.conversations.clear_waiting(backup)
    assert (cleared.deleted, cleared.backup) == (2, backup)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in backup.read_text().splitlines()]
    assert type(said).model_validate_json(json.dumps(lines[0]["conversation"])) == said
    assert lines[0]["reason"] == "own_reply_without_feedback"
    assert lines[0]["feedback"] == [{"rating": None, "thumb": -1, "comment": "no", "corrected_reply": None}]
    assert [line["conversation"]["id"] for line in lines] == ["한국어", "b"]
    assert [path.name for path in backup.parent.iterdir()] == ["cleared.jsonl"]


def test_nothing_is_deleted_when_the_backup_cannot_be_written(store: Store, tmp_path: Path) -> None:
    fill(store, "a")
    there = tmp_path / "there.jsonl"
    there.write_text("an older backup")
    with pytest.raises(FileExistsError):
        store.conversations.clear_waiting(there)
    assert there.read_text() == "an older backup"
    assert store.conversations.waiting() == 1
    assert list(tmp_path.glob("*.tmp-*")) == []


def test_a_cleared_text_may_come_again(store: Store) -> None:
    fill(store, "a")
    store.conversations.clear_waiting(None)
    assert store.conversations.capture([conversation("a")])[0].eligible


def test_erasing_a_user_leaves_nothing_of_them(store: Store) -> None:
    fill(store, "theirs", "their own", user_id="u", thread_id="t")
    store.conversations.feedback(Feedback(conversation_id="theirs", comment="mine", corrected_reply="Better."))
    fill(store, "another's", user_id="v")
    claim = store.versions.claim("run")
    assert claim is not None
    screen(store, claim, {}, {}, {"user:u": "train", "thread:t": "train", "user:v": "held_out"})
    erased = store.conversations.erase_user("u")
    assert (erased.deleted, erased.versions, erased.restarted) == (3, (), 1)
    assert [item.conversation.id for item in store.conversations.page().items] == ["another's"]
    assert [number_of(store, table) for table in (texts, feedback, units)] == [1, 0, 1]
    (event,) = store.events.page(type="user_erased")
    assert event.data == {"erasure": erased.id, "deleted": 3, "versions": [], "restarted": 1, "eligible_again": 0}


def test_every_version_that_may_have_learned_from_a_user_is_named(store: Store) -> None:
    conclude(store, claimed(store, "before"))
    fill(store, "theirs", user_id="u")
    conclude(store, claimed(store, "with theirs"))
    store.versions.max_attempts = 1
    store.versions.fail(claimed(store, "x"), "UNKNOWN_ERROR", "no")
    conclude(store, claimed(store, "after"))
    assert store.conversations.erase_user("u").versions == (2, 4)


def learning_from_ratings(store: Store, claim: Claim) -> Claim:
    values = {"method": "kto"}
    store.database.write(lambda c: c.execute(update(versions).where(versions.c.n == claim.n).values(**values)))
    return claim


def test_a_version_that_learned_from_ratings_after_they_blamed_one_is_named(store: Store) -> None:
    conclude(store, learning_from_ratings(store, claimed(store, "before")))
    fill(store, "blamed", user_id="u", provenance="self")
    fill(store, "unrated", user_id="w", provenance="self")
    store.conversations.feedback(Feedback(conversation_id="blamed", thumb=-1))
    conclude(store, claimed(store, "of conversations alone"))
    conclude(store, learning_from_ratings(store, claimed(store, "with theirs")))
    assert store.conversations.erase_user("w").versions == ()
    assert store.conversations.erase_user("u").versions == (3,)


def test_a_version_that_learns_from_what_they_blamed_begins_anew(store: Store) -> None:
    fill(store, "blamed", user_id="u", provenance="self")
    store.conversations.feedback(Feedback(conversation_id="blamed", rating=1))
    claim = learning_from_ratings(store, claimed(store, "another's"))
    assert store.conversations.erase_user("u").restarted == claim.n


def test_a_conversation_that_screening_refused_was_seen_by_no_version(store: Store) -> None:
    fill(store, "theirs", user_id="u")
    claim = claimed(store, "another's")
    screen(store, claim, {}, {"theirs": [ERROR]})
    conclude(store, claim)
    assert store.conversations.erase_user("u").versions == ()


def test_an_unknown_user_is_erased_without_a_trace(store: Store) -> None:
    erased = store.conversations.erase_user("nobody")
    assert (erased.deleted, erased.versions) == (0, ())


def test_erased_words_are_in_no_file_of_the_store(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store, "theirs", user_id="u", reply="an unmistakable secret " * 50)
    sqlite_store.conversations.erase_user("u")
    for file in tmp_path.glob("whetstone.db*"):
        assert b"unmistakable" not in file.read_bytes()


def test_who_asked_to_train_on_what_is_erased_is_told(store: Store) -> None:
    fill(store, "theirs", user_id="u")
    asked = store.triggers.add("manual", True, {})
    store.conversations.erase_user("u")
    assert store.triggers.next() is None
    (event,) = store.events.page(type="triggers_cancelled")
    assert event.data == {"triggers": [asked.id]}
    fill(store, "later")
    assert store.triggers.next() is None


def test_a_request_goes_on_while_something_waits_for_it(store: Store) -> None:
    fill(store, "theirs", user_id="u")
    fill(store, "another's", user_id="v")
    asked = store.triggers.add("manual", True, {})
    store.conversations.erase_user("u")
    waiting = store.triggers.next()
    assert waiting is not None
    assert waiting.id == asked.id


def test_a_clearing_that_cancels_says_so(store: Store) -> None:
    fill(store, "a")
    store.triggers.add("manual", True, {})
    store.conversations.clear_waiting(None)
    store.conversations.clear_waiting(None)
    assert len(store.events.page(type="triggers_cancelled")) == 1


def test_a_version_that_starts_from_an_adapter_that_saw_them_is_named_though_it_begins_anew(store: Store) -> None:
    fill(store, "theirs", user_id="u")
    conclude(store, claimed(store, "a"))
    store.settings.change({"start_from": "champion"}, "a person")
    claimed(store, "b")
    erased = store.conversations.erase_user("u")
    assert (erased.versions, erased.restarted) == ((1, 2), 2)


def test_whoever_trains_on_what_is_erased_is_fenced_out_and_no_attempt_is_lost(store: Store) -> None:
    fill(store, "theirs", user_id="u")
    claim = claimed(store, "a")
    store.versions.set_dataset(claim, SHA, {})
    store.conversations.erase_user("u")
    with pytest.raises(Fenced):
        store.versions.mark_trained(claim, SHA, {})
    assert not store.versions.hold(claim)
    again = store.versions.claim("run-2")
    assert again is not None
    assert (again.n, again.attempt) == (claim.n, 1)
    assert store.versions.get(1).dataset_hash is None
    (event,) = store.events.page(type="run_taken_back")
    assert event.version == 1


def test_a_version_that_has_nothing_of_them_is_left_alone(store: Store) -> None:
    claim = claimed(store, "a")
    fill(store, "waits", user_id="u")
    assert store.conversations.erase_user("u").restarted is None
    assert store.versions.hold(claim)


def test_a_version_that_is_trained_already_goes_on_and_is_named(store: Store) -> None:
    fill(store, "theirs", user_id="u")
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    erased = store.conversations.erase_user("u")
    assert (erased.versions, erased.restarted) == ((1,), None)
    assert store.versions.hold(claim)


def test_what_only_repeated_an_erased_conversation_is_eligible_again(store: Store) -> None:
    fill(store, "first", user_id="u", question="Same?")
    fill(store, "second", "third", user_id="v", question="Same?")
    fill(store, "unrelated", "theirs", user_id="u")
    assert store.conversations.waiting() == 3
    store.conversations.erase_user("u")
    states = {item.conversation.id: (item.eligible, item.reason) for item in store.conversations.page().items}
    assert states == {"second": (True, None), "third": (False, "duplicate")}
    (event,) = store.events.page(type="user_erased")
    assert event.data["eligible_again"] == 1


def test_what_repeated_a_reply_that_is_disliked_by_now_is_eligible_again(store: Store) -> None:
    own, repeat = (conversation(id, "Same?", provenance="self") for id in ("own", "repeat"))
    store.conversations.capture([own, repeat])
    store.conversations.feedback(Feedback(conversation_id="own", thumb=1))
    assert store.conversations.feedback(Feedback(conversation_id="repeat", thumb=1)).reason == "duplicate"
    store.conversations.feedback(Feedback(conversation_id="own", thumb=-1))
    found = store.conversations.get("repeat")
    assert found is not None
    assert (found.eligible, found.reason) == (True, None)


def test_a_correction_that_was_replaced_does_not_come_back_when_what_it_repeated_goes(store: Store) -> None:
    fill(store, "other", question="Same?", reply="Better.", user_id="u")
    fill(store, "own", question="Same?", provenance="self", user_id="v")
    for reply in ("Better.", "Best."):
        store.conversations.feedback(Feedback(conversation_id="own", corrected_reply=reply))
    store.conversations.erase_user("u")
    first, second = store.conversations.get("own.corrected"), store.conversations.get("own.corrected.2")
    assert first is not None
    assert second is not None
    assert (first.eligible, first.reason, second.eligible) == (False, "superseded", True)


def test_when_a_correction_is_replaced_what_repeated_it_is_eligible_again(store: Store) -> None:
    fill(store, "own", question="Same?", provenance="self")
    store.conversations.feedback(Feedback(conversation_id="own", corrected_reply="Better."))
    fill(store, "other", question="Same?", reply="Better.")
    store.conversations.feedback(Feedback(conversation_id="own", corrected_reply="Best."))
    found = store.conversations.get("other")
    assert found is not None
    assert found.eligible
