"""What the retention setting does to what is old, and to nothing else."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from core.pii import find
from resources import retention
from resources.feedback import Feedback
from resources.retention import remove_copies
from resources.store import Store
from resources.tables import band_runs, bands, conversations, experiment_logs, feedback, texts, utc_now
from tests.resources.examples import claimed, conclude, fill
from tests.resources.experiment_examples import started

MAIL = "Write to ann.lee@example.org or 010-1234-5678."


def age(store: Store, days: float, *ids: str) -> None:
    """As if these, or all, had been recorded that long ago."""
    mine = update(conversations).values(recorded_at=utc_now() - timedelta(days=days))
    store.database.write(lambda c: c.execute(mine.where(conversations.c.id.in_(ids)) if ids else mine))


def everything(store: Store) -> dict[str, str]:
    found = store.conversations.page(1, 200).items
    return {item.conversation.id: item.conversation.reply for item in found}


def test_contact_data_in_old_conversations_is_masked_in_place(store: Store) -> None:
    fill(store, "old", question=f"{MAIL} Old?", reply=MAIL, user_id="u")
    fill(store, "young", question=f"{MAIL} Young?", reply=MAIL)
    age(store, 31, "old")
    assert store.retention.turn(30) == (1, 0, False, 0)
    found = {item.conversation.id: item.conversation for item in store.conversations.page().items}
    assert found["old"].reply == "Write to [EMAIL_1] or [PHONE_1]."
    assert found["old"].messages[0].content == "Write to [EMAIL_1] or [PHONE_1]. Old?"
    assert found["young"].reply == MAIL
    assert store.conversations.waiting() == 2, "they are trained on all the same"
    (event,) = store.events.page(type="retention_applied")
    assert event.data == {"days": 30, "masked": 1, "deleted": 0, "emptied": 0}
    assert "example" not in str(event)


def test_what_is_masked_is_counted_with_what_was_masked_at_capture(sqlite_store: Store) -> None:
    fill(sqlite_store, "old", reply=f"{MAIL} My card is 4111 1111 1111 1111.")
    age(sqlite_store, 31)
    conversation_row = select(conversations.c.personal)
    sqlite_store.database.write(lambda c: c.execute(update(conversations).values(eligible=True, reason=None)))
    sqlite_store.retention.turn(30)
    personal = sqlite_store.database.read(lambda c: c.execute(conversation_row).scalar_one())
    assert personal == {"card": 1, "email": 1, "phone": 1}


def test_what_people_said_of_an_old_conversation_is_masked_as_well(store: Store) -> None:
    fill(store, "old")
    store.conversations.feedback(Feedback(conversation_id="old", comment=MAIL, corrected_reply=f"Better: {MAIL}"))
    age(store, 31)
    store.retention.turn(30)
    (row,) = store.database.read(lambda c: c.execute(select(feedback)).all())
    assert row.comment == "Write to [EMAIL_1] or [PHONE_1]."
    assert row.corrected_reply == "Better: Write to [EMAIL_1] or [PHONE_1]."
    for reply in everything(store).values():
        assert not find(reply)


def test_old_conversations_that_may_not_be_trained_on_are_deleted(store: Store) -> None:
    fill(store, "own", "own too", provenance="self")
    fill(store, "human", "again")
    fill(store, "duplicate", question="What is human?")
    age(store, 31, "own", "duplicate", "human")
    assert store.retention.turn(30) == (0, 2, False, 0)
    assert set(everything(store)) == {"own too", "human", "again"}


def test_what_a_version_has_is_never_deleted(store: Store) -> None:
    conclude(store, claimed(store, "in v1"))
    age(store, 4000)
    assert store.retention.turn(30).deleted == 0
    assert set(everything(store)) == {"in v1"}


def test_by_default_everything_stays_for_ever(store: Store) -> None:
    fill(store, "own", provenance="self", reply=MAIL)
    age(store, 36_000)
    assert store.retention.turn(0) == (0, 0, False, 0)
    assert everything(store) == {"own": MAIL}
    assert store.events.page(type="retention_applied") == []


def test_a_turn_is_bounded_and_the_turns_come_to_an_end(sqlite_store: Store) -> None:
    fill(sqlite_store, *(f"own{n}" for n in range(25)), provenance="self")
    fill(sqlite_store, *(f"h{n}" for n in range(25)), reply=MAIL)
    age(sqlite_store, 31)
    turns = []
    while not turns or turns[-1].more:
        turns.append(sqlite_store.retention.turn(30, batch=5, batches=2))
    assert [turn.deleted for turn in turns if turn.deleted] == [10, 10, 5]
    assert [turn.masked for turn in turns if turn.masked] == [5, 10, 10]
    assert sqlite_store.retention.turn(30) == (0, 0, False, 0)


def test_what_is_masked_once_is_not_read_again_until_the_rules_change(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite_store, "old", reply=MAIL)
    age(sqlite_store, 31)
    sqlite_store.retention.turn(30)
    plain = update(texts).values(reply="Call 010-9999-8888.")
    sqlite_store.database.write(lambda c: c.execute(plain))
    assert sqlite_store.retention.turn(30).masked == 0
    monkeypatch.setattr(retention, "PII_VERSION", "a later one")
    assert sqlite_store.retention.turn(30).masked == 1


def test_masked_words_are_in_no_file_of_the_store(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store, "old", reply=f"{MAIL} " * 40)
    age(sqlite_store, 31)
    sqlite_store.retention.turn(30)
    for file in tmp_path.glob("whetstone.db*"):
        assert b"ann.lee" not in file.read_bytes()


def test_nothing_made_of_a_deleted_or_erased_text_stays(sqlite_store: Store) -> None:
    """Bands are written as screening does it."""
    from resources.band_rows import BandRows
    from resources.near_duplicates import NearDuplicates

    fill(sqlite_store, "own", provenance="self", reply="a long reply of its own " * 5)
    fill(sqlite_store, "theirs", user_id="u", reply="quite another long reply " * 5)
    rows = sqlite_store.conversations.page().items
    items = [(item.seq, item.conversation.reply) for item in rows]

    def place(connection: Any) -> None:
        placed = NearDuplicates(BandRows(connection), lambda seqs: dict(items)).place(items)
        for seq, where in placed.items():
            mine = update(conversations).where(conversations.c.seq == seq)
            connection.execute(mine.values(cluster=where.cluster))

    def banded(connection: Any) -> bool:
        in_table = connection.execute(select(bands.c.seq).limit(1)).first() is not None
        return in_table or any(connection.execute(select(band_runs.c.members)).scalars())

    sqlite_store.database.write(place)
    assert sqlite_store.database.read(banded)
    age(sqlite_store, 31, "own")
    sqlite_store.retention.turn(30)
    sqlite_store.conversations.erase_user("u")
    assert not sqlite_store.database.read(banded)


def test_what_was_told_of_an_experiment_long_ago_loses_its_words_and_keeps_its_figures(store: Store) -> None:
    row = {"experiment": started(store).id, "arm": "a", "failed": False, "rating": 4, "seconds": 1.5}
    texts_of = {"query": MAIL, "response": "Yes.", "comment": None}
    rows = [
        {**row, **texts_of, "unit": f"user:{days}", "created_at": utc_now() - timedelta(days=days)} for days in (29, 31)
    ]
    store.database.write(lambda c: c.execute(insert(experiment_logs), rows))
    assert store.retention.turn(30).emptied == 1
    assert store.retention.turn(30).emptied == 0
    found = store.database.read(lambda c: c.execute(select(experiment_logs).order_by(experiment_logs.c.id)).all())
    assert [(one.query, one.response, one.rating, one.seconds) for one in found] == [
        (MAIL, "Yes.", 4, 1.5), (None, None, 4, 1.5)
    ]  # fmt: skip


def test_old_copies_of_resets_are_removed(tmp_path: Path) -> None:
    for name, days in (("old", 31), ("young", 29)):
        (tmp_path / f"{name}.jsonl").write_text("{}")
        then = time.time() - days * 86_400
        os.utime(tmp_path / f"{name}.jsonl", (then, then))
    assert remove_copies(tmp_path, 0) == 0
    assert remove_copies(tmp_path, 30) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["young.jsonl"]
