from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.live_settings import LiveSettings
from core.sides import Side
from resources.screening_rows import unit_sides
from resources.store import Fenced, NotAllowed, NotFound, Store, open_store
from resources.tables import versions
from tests.conftest import LINEAGE
from tests.resources.examples import (
    ERROR,
    SHA,
    WARNING,
    claimed,
    conclude,
    event_types,
    screen,
    verdict,
    version_of,
)


def test_a_promoted_version_is_champion_in_the_same_step(store: Store) -> None:
    version = conclude(store, claimed(store, "a"))
    assert (version.state, version.mlflow_version, version.adapter_sha256) == ("promoted", "1", SHA)
    assert version.verdict == verdict()
    assert version.finished_at is not None
    champion = store.champion.get()
    assert (champion.n, champion.previous, champion.seq) == (1, None, 1)
    assert store.versions.unfinished() is None
    assert event_types(store) == ["run_started", "trained", "verdict", "run_completed", "promoted"]


def test_the_next_version_has_the_champion_for_parent(store: Store) -> None:
    conclude(store, claimed(store, "a"))
    conclude(store, claimed(store, "b"))
    assert store.versions.get(1).parent is None
    assert store.versions.get(2).parent == 1
    assert (store.champion.get().n, store.champion.get().previous) == (2, 1)


def test_a_rejected_version_leaves_the_champion_and_keeps_its_conversations(store: Store) -> None:
    conclude(store, claimed(store, "a"))
    version = conclude(store, claimed(store, "b"), promoted=False)
    assert version.state == "rejected"
    assert store.champion.get().n == 1
    assert version_of(store, "b") == 2
    assert store.pause.get() is None


def test_an_override_promotes_and_keeps_its_reason(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    store.versions.set_verdict(claim, verdict(promoted=False), "report")
    version = store.versions.conclude(claim, None, override_reason="the customer insists")
    assert (version.state, version.override_reason) == ("promoted", "the customer insists")
    assert store.champion.get().n == 1


def test_two_rejections_in_a_row_pause_until_a_person_acts(store: Store) -> None:
    conclude(store, claimed(store, "a"), promoted=False)
    assert store.pause.get() is None
    conclude(store, claimed(store, "b"), promoted=False)
    assert store.pause.get() == "v1 and v2 were rejected in a row"
    store.pause.clear("a person")
    conclude(store, claimed(store, "c"), promoted=False)
    assert store.pause.get() is None
    conclude(store, claimed(store, "d"), promoted=False)
    assert store.pause.get() == "v3 and v4 were rejected in a row"


def test_a_promotion_between_two_rejections_breaks_the_row(store: Store) -> None:
    for id, promoted in (("a", False), ("b", True), ("c", False)):
        conclude(store, claimed(store, id), promoted)
    assert store.pause.get() is None


def test_rejections_of_another_base_do_not_count(store: Store, store_url: str) -> None:
    conclude(store, claimed(store, "a"), promoted=False)
    other = open_store(store_url, live_defaults=LiveSettings(), lineage="another base")
    conclude(other, claimed(other, "b"), promoted=False)
    other.close()
    assert store.pause.get() is None


def test_nothing_is_concluded_without_a_verdict(store: Store) -> None:
    claim = claimed(store, "a")
    with pytest.raises(Fenced, match="trained"):
        store.versions.conclude(claim, None)
    store.versions.mark_trained(claim, SHA, {})
    with pytest.raises(NotAllowed, match="judge it first"):
        store.versions.conclude(claim, None)
    assert store.versions.get(1).state == "trained"


def test_nothing_is_trained_or_concluded_twice(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    with pytest.raises(Fenced, match="open"):
        store.versions.mark_trained(claim, "b" * 64, {})
    store.versions.set_verdict(claim, verdict(), "report")
    store.versions.conclude(claim, "1")
    with pytest.raises(Fenced):
        store.versions.conclude(claim, "1")
    assert store.champion.get().seq == 1


def test_a_failed_attempt_frees_the_version_and_says_how_long_to_wait(store: Store) -> None:
    waits = []
    claim = claimed(store, "a")
    for number in range(1, 5):
        failed = store.versions.fail(claim, "OUT_OF_MEMORY", "no memory")
        assert (failed.state, failed.error_class, failed.error) == ("open", "OUT_OF_MEMORY", "no memory")
        waits.append(failed.backoff_seconds)
        again = store.versions.claim(f"run-{number + 1}")
        assert again is not None
        claim = again
        assert store.versions.get(1).backoff_seconds == 0
    assert claim.attempt == 5
    assert waits == [5, 10, 20, 40]
    assert version_of(store, "a") == 1


def test_the_last_failed_attempt_gives_the_conversations_back_and_pauses(store: Store) -> None:
    claim = claimed(store, "a", "b")
    screen(store, claim, {"a": "held_out"}, {"b": [ERROR]})
    store.versions.max_attempts = 1
    version = store.versions.fail(claim, "GPU_ERROR", "gone")
    assert (version.state, version.finished_at is not None) == ("failed", True)
    assert store.conversations.waiting() == 2
    assert store.pause.get() == "v1 failed after 1 attempts (GPU_ERROR)"
    assert event_types(store) == ["run_started", "run_failed", "paused"]
    found = store.conversations.get("b")
    assert found is not None
    assert not found.rejected
    assert store.conversations.counts().filtered_out == 0
    following = store.versions.claim("run-2")
    assert following is not None
    assert following.n == 2


def test_an_abandoned_version_gives_its_conversations_back_without_a_pause(store: Store) -> None:
    claimed(store, "a")
    assert store.versions.abandon(1, "not wanted").state == "abandoned"
    assert version_of(store, "a") is None
    assert store.pause.get() is None
    with pytest.raises(NotAllowed, match="abandoned"):
        store.versions.abandon(1, "again")


def test_a_number_is_never_used_again(store: Store) -> None:
    claimed(store, "a")
    store.versions.abandon(1, "not wanted")
    assert store.versions.next_number() == 2
    following = store.versions.claim("run-2")
    assert following is not None
    assert following.n == 2


def test_the_reaper_fails_a_version_by_its_number(store: Store) -> None:
    claim = claimed(store, "a")
    assert store.versions.fail(1, "UNKNOWN_ERROR", "its process is gone").released
    assert not store.versions.hold(claim)
    assert store.versions.claim("run-2") is not None


def test_screening_is_stored_and_a_side_never_changes(store: Store) -> None:
    claim = claimed(store, "a", "b", "c")
    units: dict[str, Side] = {"user:1": "train", "user:2": "held_out"}
    screen(store, claim, {"a": "train", "b": "held_out"}, {"b": [WARNING], "c": [ERROR]}, units)
    screen(store, claim, {"a": "held_out", "b": "held_out"}, {"b": [WARNING], "c": [ERROR]}, units)
    rows = {row.conversation.id: row for row in store.versions.rows(1)}
    assert {id: (row.side, row.rejected) for id, row in rows.items()} == {
        "a": ("train", False),
        "b": ("held_out", False),
        "c": (None, True),
    }
    assert rows["c"].findings == (ERROR,)
    assert store.database.read(lambda c: unit_sides(c, units)) == units
    counts = store.conversations.counts()
    assert (counts.filtered_out, counts.eligible) == (1, 3)


def test_screening_touches_no_other_version(store: Store) -> None:
    first = claimed(store, "a")
    conclude(store, first)
    second = claimed(store, "b")
    screen(store, second, {"a": "held_out"}, {"a": [ERROR]})
    found = store.conversations.get("a")
    assert found is not None
    assert (found.side, found.findings) == (None, ())


def test_a_side_survives_a_failed_version(store: Store) -> None:
    claim = claimed(store, "a")
    screen(store, claim, {"a": "held_out"}, {})
    store.versions.abandon(1, "not wanted")
    store.versions.claim("run-2")
    assert [row.side for row in store.versions.rows(2)] == ["held_out"]


def test_counts_of_claim_and_dataset_stand_together(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.set_dataset(claim, "d" * 64, {"train": 1, "held_out": 0})
    store.versions.set_mlflow_run(claim, "mlflow-run")
    version = store.versions.get(1)
    assert version.counts == {"claimed": 1, "triggers": 0, "train": 1, "held_out": 0}
    assert (version.dataset_hash, version.mlflow_run_id) == ("d" * 64, "mlflow-run")


def test_history_goes_back_from_the_newest(store: Store) -> None:
    for id in ("a", "b", "c"):
        conclude(store, claimed(store, id))
    assert [version.n for version in store.versions.history(2)] == [3, 2]
    assert [version.n for version in store.versions.history(2, offset=2)] == [1]
    assert store.versions.count() == 3
    with pytest.raises(NotFound, match="v4"):
        store.versions.get(4)


def test_performance_counts_a_rejected_candidate_as_no_failure(store: Store) -> None:
    assert store.versions.performance().mean_seconds is None
    conclude(store, claimed(store, "a"), promoted=False)
    conclude(store, claimed(store, "b"))
    store.versions.max_attempts = 1
    store.versions.fail(claimed(store, "c"), "UNKNOWN_ERROR", "no")
    for n, seconds in ((1, 10), (2, 20)):
        took = store.versions.get(n).started_at + timedelta(seconds=seconds)
        change = update(versions).where(versions.c.n == n).values(finished_at=took)
        store.database.write(lambda c, change=change: c.execute(change))
    performance = store.versions.performance()
    assert (performance.finished, performance.failed, performance.mean_seconds) == (3, 1, 15.0)


def test_what_a_rejected_version_brought_is_still_new_to_the_champion(store: Store) -> None:
    conclude(store, claimed(store, "a1"))
    conclude(store, claimed(store, "b1", "b2"), promoted=False)
    claim = claimed(store, "c1")
    assert store.versions.get(claim.n).parent == 1
    assert store.versions.ids_since(claim.n, 1) == {"b1", "b2", "c1"}
    conclude(store, claim)
    after = claimed(store, "d1")
    assert store.versions.ids_since(after.n, 3) == {"d1"}


def test_what_a_version_brought_that_was_rolled_back_is_still_new_to_the_one_before_it(store: Store) -> None:
    conclude(store, claimed(store, "a1"))
    conclude(store, claimed(store, "b1"))
    claim = claimed(store, "c1")
    assert store.versions.ids_since(claim.n, 1) == {"b1", "c1"}


def test_attempts_that_ran_out_of_memory_are_counted_and_told_with_what_to_do(store: Store) -> None:
    claim = claimed(store, "a")
    for attempt in (1, 2):
        version = store.versions.fail(claim, "OUT_OF_MEMORY", "no memory")
        assert version.out_of_memory == attempt
        claim = store.versions.claim(f"again-{attempt}") or pytest.fail("not claimed")
    store.versions.fail(claim, "DISK_ERROR", "no space")
    assert store.versions.get(1).out_of_memory == 2
    disk, memory = store.events.page(limit=2, type="attempt_failed")
    assert ("half the length" in memory.data["advice"], "room on the disk" in disk.data["advice"]) == (True, True)
    claim = store.versions.claim("last") or pytest.fail("not claimed")
    store.versions.mark_trained(claim, SHA, {"loss": 2.5})
    assert (store.versions.get(1).out_of_memory, store.versions.get(1).training["loss"]) == (2, 2.5)


def test_after_the_last_attempt_the_webhook_is_told_what_to_do(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.max_attempts = 1
    store.versions.fail(claim, "GPU_ERROR", "CUDA error")
    [event] = store.events.page(type="run_failed")
    assert "v1 failed after 1 attempts (GPU_ERROR): CUDA error. What to do: look at nvidia-smi" in event.message


def test_the_store_is_opened_with_how_many_attempts_a_version_has(store_url: str) -> None:
    with closing(open_store(store_url, live_defaults=LiveSettings(), lineage=LINEAGE, max_attempts=2)) as strict:
        states = []
        for at, claim in enumerate((claimed(strict, "a"), None)):
            mine = claim or strict.versions.claim(f"run-{at}") or pytest.fail("not claimed again")
            states.append(strict.versions.fail(mine, "DISK_ERROR", "full").state)
    assert states == ["open", "failed"]
