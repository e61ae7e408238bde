import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import IntegrityError

from core.live_settings import LiveSettings
from resources.capturing import capture_batch
from resources.claims import claim_version
from resources.conversation_rows import masked
from resources.progress import Progress
from resources.store import AttemptsExhausted, Fenced, Store, VersionBusy, VersionStopped, open_store
from resources.tables import versions
from resources.versions import Claim
from tests.conftest import LINEAGE
from tests.resources.examples import (
    SHA,
    claimed,
    conclude,
    conversation,
    event_types,
    fill,
    screen,
    verdict,
    version_of,
)


def test_a_claim_takes_everything_that_waits_and_nothing_else(store: Store) -> None:
    store.triggers.add("manual", True, {"epochs": 2})
    store.conversations.capture([conversation("own", provenance="self"), conversation("half", complete=False)])
    claim = claimed(store, "a", "b")
    assert claim == Claim(n=1, fence=1, attempt=1, state="open", resumed=False)
    assert [row.conversation.id for row in store.versions.rows(1)] == ["a", "b"]
    assert version_of(store, "own") is None
    assert version_of(store, "half") is None
    assert store.triggers.next() is None
    assert [trigger.params for trigger in store.triggers.of_version(1)] == [{"epochs": 2}]
    assert store.versions.get(1).counts == {"claimed": 2, "triggers": 1}


def test_nothing_eligible_gives_no_version_and_keeps_what_asked_for_one(store: Store) -> None:
    store.conversations.capture([conversation("own", provenance="self")])
    store.triggers.add("manual", True, {})
    assert store.versions.claim("run") is None
    assert store.versions.next_number() == 1
    assert store.triggers.next() is not None


def test_what_arrives_after_the_claim_waits_for_the_next(store: Store) -> None:
    claim = claimed(store, "early")
    fill(store, "late")
    assert version_of(store, "late") is None
    conclude(store, claim)
    following = store.versions.claim("run-2")
    assert following is not None
    assert following.n == 2
    assert (version_of(store, "early"), version_of(store, "late")) == (1, 2)


@pytest.mark.postgres
def test_a_row_with_a_lower_number_that_is_committed_later_is_not_lost(postgres_url: str) -> None:
    store, other = (open_store(postgres_url, live_defaults=LiveSettings(), lineage=LINEAGE) for _ in range(2))

    def work(connection: Connection) -> None:
        capture_batch(connection, masked([conversation("slow to commit")]))
        conclude(store, claimed(store, "quick"))

    other.database.write(work, in_turn=False)
    assert version_of(store, "slow to commit") is None
    following = store.versions.claim("run-2")
    assert following is not None
    assert version_of(store, "slow to commit") == 2
    store.close()
    other.close()


def test_of_claims_at_the_same_moment_one_wins(store: Store, store_url: str) -> None:
    fill(store, *(f"c{number}" for number in range(20)))
    together, won, busy = threading.Barrier(4), [], []

    def run(owner: str) -> None:
        mine = open_store(store_url, live_defaults=LiveSettings(), lineage=LINEAGE)
        together.wait()
        try:
            won.append(mine.versions.claim(owner))
        except VersionBusy as error:
            busy.append(error)
        mine.close()

    threads = [threading.Thread(target=run, args=(f"run-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(busy) == 3
    assert len(store.versions.rows(1)) == 20
    assert len(store.versions.history()) == 1


def test_the_database_itself_allows_one_unfinished_version(store: Store) -> None:
    conclude(store, claimed(store, "a"))
    claimed(store, "b")
    reopen = update(versions).where(versions.c.n == 1).values(state="open", in_flight=True)
    with pytest.raises(IntegrityError):
        store.database.write(lambda c: c.execute(reopen))


def test_a_crash_before_the_commit_leaves_everything_waiting(store: Store) -> None:
    fill(store, "a")

    def crash(connection: Connection) -> None:
        assert claim_version(connection, "run", None, LINEAGE, LiveSettings().public(), 5) is not None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.database.write(crash)
    assert store.versions.unfinished() is None
    assert version_of(store, "a") is None
    assert event_types(store) == []


def test_a_held_version_is_busy_for_others(store: Store) -> None:
    claimed(store, "a")
    with pytest.raises(VersionBusy) as refused:
        store.versions.claim("run-2")
    assert (refused.value.owner, refused.value.n) == ("run-1", 1)
    assert refused.value.beat == store.versions.get(1).beat


def test_an_owner_whose_heart_stopped_is_taken_over(store: Store) -> None:
    claim = claimed(store, "a")
    seen = store.versions.get(1).beat
    taken = store.versions.claim("run-2", dead_beat=seen)
    assert taken == Claim(n=1, fence=2, attempt=2, state="open", resumed=True)
    assert not store.versions.hold(claim)
    assert store.versions.hold(taken)
    assert event_types(store) == ["run_started", "run_resumed"]


def test_an_owner_whose_heart_beats_is_not_taken_over(store: Store) -> None:
    claim = claimed(store, "a")
    seen = store.versions.get(1).beat
    assert store.versions.hold(claim)
    with pytest.raises(VersionBusy):
        store.versions.claim("run-2", dead_beat=seen)


def test_a_beat_seen_dead_in_one_version_is_never_alive_in_the_next(store: Store) -> None:
    claim = claimed(store, "a")
    seen = store.versions.get(1).beat
    conclude(store, claim)
    claimed(store, "b")
    with pytest.raises(VersionBusy):
        store.versions.claim("run-3", dead_beat=seen)


WRITES: list[Callable[[Store, Claim], object]] = [
    lambda store, claim: screen(store, claim, {}, {}),
    lambda store, claim: store.versions.set_dataset(claim, "hash", {}),
    lambda store, claim: store.versions.set_mlflow_run(claim, "run"),
    lambda store, claim: store.versions.mark_trained(claim, SHA, {}),
    lambda store, claim: store.versions.set_verdict(claim, verdict(), "report"),
    lambda store, claim: store.versions.conclude(claim, "1"),
    lambda store, claim: store.versions.fail(claim, "UNKNOWN_ERROR", "late"),
    lambda store, claim: store.progress.write(claim, Progress(1, 2, 3.0, 1e-4, 10.0, 5.0, "train")),
]


@pytest.mark.parametrize("how", ["taken over", "released", "failed by the reaper", "abandoned"])
def test_a_zombie_can_write_nothing(store: Store, how: str) -> None:
    zombie = claimed(store, "a")
    if how == "taken over":
        store.versions.claim("run-2", dead_beat=store.versions.get(1).beat)
    elif how == "released":
        store.versions.release(zombie)
    elif how == "failed by the reaper":
        store.versions.fail(1, "GPU_ERROR", "vanished")
    else:
        store.versions.abandon(1, "not wanted")
    before = store.versions.get(1)
    for write in WRITES:
        with pytest.raises(Fenced, match="stop writing"):
            write(store, zombie)
    assert store.versions.get(1) == before
    assert store.progress.curve(1) == []


def test_a_lost_lease_is_given_back_without_harm_to_the_new_owner(store: Store) -> None:
    zombie = claimed(store, "a")
    taken = store.versions.claim("run-2", dead_beat=store.versions.get(1).beat)
    assert taken is not None
    store.versions.release(zombie, "I was interrupted")
    assert store.versions.hold(taken)
    assert store.versions.get(1).error is None


def test_a_released_version_goes_on_with_the_next_owner(store: Store) -> None:
    store.versions.release(claimed(store, "a"))
    claim = store.versions.claim("run-2")
    assert claim is not None
    assert (claim.n, claim.fence, claim.attempt, claim.resumed) == (1, 2, 1, True)


def test_a_trained_version_is_resumed_as_trained(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.mark_trained(claim, SHA, {})
    store.versions.release(claim)
    again = store.versions.claim("run-2")
    assert again is not None
    assert again.state == "trained"


def test_steps_of_one_run_and_clean_stops_use_up_no_attempt(store: Store) -> None:
    claimed(store, "a")
    for _ in range(7):
        again = store.versions.claim("run-1")
    for owner in ("run-2", "run-3"):
        assert again is not None
        store.versions.release(again)
        again = store.versions.claim(owner)
    assert again is not None
    assert again.attempt == 1
    assert again.fence == 10


def test_deaths_without_a_word_use_up_attempts_until_the_version_fails(store: Store) -> None:
    claimed(store, "a")
    for number in range(2, 6):
        claim = store.versions.claim(f"run-{number}", dead_beat=store.versions.get(1).beat)
        assert claim is not None
        assert claim.attempt == number
    with pytest.raises(AttemptsExhausted, match="v1 failed after 5 attempts"):
        store.versions.claim("run-6", dead_beat=store.versions.get(1).beat)
    assert store.versions.get(1).state == "failed"
    assert version_of(store, "a") is None
    assert store.pause.get() is not None


def test_a_stopped_version_waits_for_a_person(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.stop(1)
    assert store.versions.hold(claim)
    store.versions.release(claim)
    with pytest.raises(VersionStopped):
        store.versions.claim("run-2")
    store.versions.resume(1)
    assert store.versions.claim("run-2") is not None
    assert event_types(store) == ["run_started", "stop_asked", "resume_asked", "run_resumed"]


def test_a_version_of_another_base_is_given_up_and_its_conversations_are_taken(store: Store, store_url: str) -> None:
    store.versions.release(claimed(store, "a"))
    other = open_store(store_url, live_defaults=LiveSettings(), lineage="another base")
    claim = other.versions.claim("run-2")
    other.close()
    assert claim is not None
    assert (claim.n, claim.resumed) == (2, False)
    assert version_of(store, "a") == 2
    assert store.versions.get(1).state == "abandoned"
    assert store.versions.get(2).base_fingerprint == "another base"


def test_a_version_of_another_base_that_is_held_stays_busy(store: Store, store_url: str) -> None:
    claimed(store, "a")
    other = open_store(store_url, live_defaults=LiveSettings(), lineage="another base")
    with pytest.raises(VersionBusy):
        other.versions.claim("run-2")
    other.close()


def test_a_version_remembers_the_settings_it_was_claimed_with(store: Store) -> None:
    store.settings.change({"finetune_epochs": 2, "finetune_webhook_url": "https://hooks.example/secret"}, "test")
    claimed(store, "a")
    store.settings.change({"finetune_epochs": 5}, "test")
    settings = store.versions.get(1).settings
    assert settings["finetune_epochs"] == 2
    assert store.versions.get(1).method == settings["finetune_method"] == "lora"
    assert "secret" not in str(settings)
