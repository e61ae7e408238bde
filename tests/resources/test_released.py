"""From rejected to trained on: what a person released is in the next version's dataset, and in no other."""

from pathlib import Path

import pytest

from core.conversation import Conversation, Message
from resources.screening import make_dataset
from resources.store import NotAllowed, Store
from resources.store_errors import HeldBack
from tests.own_names import read_own
from tests.resources.examples import verdict
from tests.resources.test_screening import SCREENER, alike, claimed, ids, numbered, rules_of
from tests.workshop import conversation

KOREAN = "프린터 전원을 껐다가 다시 켜고 종이가 걸려 있는지 확인해 보세요. 그래도 안 되면 케이블을 다시 꽂으세요."


@pytest.fixture
def first(sqlite_store: Store, tmp_path: Path) -> Path:
    """v1, at its end: of six near-duplicates three are over the cap, and one answers in another language."""
    claim = claimed(sqlite_store, [*numbered(0, 20), *alike(40, 46, "ann"), mixed()])
    make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    finish(sqlite_store)
    return tmp_path / "v1"


def mixed() -> Conversation:
    asked = Message(role="user", content="My printer has not printed anything since this morning, what can I do?")
    return conversation(60, reply=KOREAN).model_copy(update={"messages": (asked,)})


def finish(store: Store) -> None:
    claim = store.versions.claim("run")
    assert claim
    store.versions.mark_trained(claim, "a" * 64, {})
    store.versions.set_verdict(claim, verdict(False), "reports/report.md")
    store.versions.conclude(claim, None)


def test_a_released_one_is_in_the_next_dataset_alone_and_the_rest_stays_out(
    sqlite_store: Store, first: Path, tmp_path: Path
) -> None:
    held = {review.stored.conversation.id for review in sqlite_store.reviews.page().items}
    assert held == {"c0043", "c0044", "c0045", "c0060"}
    sqlite_store.reviews.release("c0043", "admin", "it says more")
    sqlite_store.reviews.release("c0060", "admin", "she asked for Korean before")
    claim = claimed(sqlite_store, numbered(100, 110))
    make_dataset(sqlite_store, claim, tmp_path / "v2", SCREENER)

    before, after = ids(sqlite_store, first), ids(sqlite_store, tmp_path / "v2")
    assert not {"c0043", "c0060"} & before
    assert {"c0043", "c0060"} <= after
    assert after > before
    assert not {"c0044", "c0045"} & after
    stored = [
        one.id for side in ("train", "validation", "held_out") for one in read_own(sqlite_store, tmp_path / "v2", side)
    ]
    assert len(stored) == len(set(stored))
    found = sqlite_store.conversations.get("c0060")
    assert found
    assert [(one.rule, one.severity) for one in found.findings] == [("language_mismatch", "warning")]
    assert (found.version, rules_of(sqlite_store, "c0043")) == (2, [])


def test_a_correction_is_in_the_next_dataset_in_place_of_its_original(
    sqlite_store: Store, first: Path, tmp_path: Path
) -> None:
    sqlite_store.reviews.correct("c0060", None, "Turn the printer off and on, and look for paper that is stuck in it.")
    sqlite_store.reviews.release("c0060", "admin", "translated")
    claim = claimed(sqlite_store, numbered(100, 110))
    make_dataset(sqlite_store, claim, tmp_path / "v2", SCREENER)

    assert "c0060.corrected" in ids(sqlite_store, tmp_path / "v2")
    assert "c0060" not in ids(sqlite_store, first) | ids(sqlite_store, tmp_path / "v2")


def test_a_version_at_work_keeps_what_it_claimed(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, [*numbered(0, 20), mixed()])
    manifest = make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)

    with pytest.raises(NotAllowed, match="to be at its end"):
        sqlite_store.reviews.release("c0060", "admin", "now")
    assert make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER) == manifest


def test_a_released_one_that_the_next_version_cannot_finish_waits_again_as_released(
    sqlite_store: Store, first: Path, tmp_path: Path
) -> None:
    sqlite_store.reviews.release("c0060", "admin", "fine")
    claim = claimed(sqlite_store, numbered(100, 110))
    make_dataset(sqlite_store, claim, tmp_path / "v2", SCREENER)
    sqlite_store.versions.abandon(claim.n, "by a person")
    again = sqlite_store.versions.claim("run")
    assert again
    make_dataset(sqlite_store, again, tmp_path / "v3", SCREENER)

    assert "c0060" in ids(sqlite_store, tmp_path / "v3")


def test_what_is_too_long_is_corrected_or_stays(sqlite_store: Store, tmp_path: Path) -> None:
    claim = claimed(sqlite_store, [*numbered(0, 20), conversation(30, reply="one word after another " * 50)])
    make_dataset(sqlite_store, claim, tmp_path / "v1", SCREENER)
    finish(sqlite_store)

    with pytest.raises(HeldBack, match="too_many_tokens"):
        sqlite_store.reviews.release("c0030", "admin", "all of it")
