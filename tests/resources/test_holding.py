from threading import Event

import pytest

from resources.holding import NothingToDo, begin, go_on, holding
from resources.store import Fenced, Store, StoreUnavailable, VersionBusy, VersionStopped
from resources.trainer import TrainerFailed
from resources.versions import Claim, Version
from tests.workshop import conversation


def claimed(store: Store, owner: str = "run") -> Claim:
    store.conversations.capture([conversation(1)])
    return begin(store, owner)


def version(store: Store) -> Version:
    return store.versions.get(1)


def test_the_beat_goes_on_while_the_body_runs(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    before = version(sqlite_store).beat
    seen = Event()
    with holding(sqlite_store, claim, heartbeat_seconds=0.01):
        while not seen.wait(0.01):
            if version(sqlite_store).beat >= before + 3:
                seen.set()


def test_the_lease_stays_with_its_owner_for_the_next_step(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    with holding(sqlite_store, claim):
        pass
    assert version(sqlite_store).released is False
    assert go_on(sqlite_store, "run") == claim


def test_after_the_last_step_of_a_run_the_lease_is_free(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    with holding(sqlite_store, claim, keep=False):
        pass
    assert version(sqlite_store).released is True
    assert go_on(sqlite_store, "another run").fence == claim.fence + 1


def test_an_error_is_a_failed_attempt_with_its_class(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    with pytest.raises(TrainerFailed), holding(sqlite_store, claim):
        raise TrainerFailed("OUT_OF_MEMORY", "no memory left", -9)
    found = version(sqlite_store)
    assert (found.released, found.error_class, found.error) == (True, "OUT_OF_MEMORY", "OUT_OF_MEMORY: no memory left")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), TrainerFailed("INTERRUPTED", "told to stop", 143)])
def test_an_interruption_gives_the_lease_back_and_is_no_failure(
    sqlite_store: Store, interruption: BaseException
) -> None:
    claim = claimed(sqlite_store)
    with pytest.raises(type(interruption)), holding(sqlite_store, claim):
        raise interruption
    assert (version(sqlite_store).released, version(sqlite_store).error) == (True, None)


def test_who_was_fenced_out_touches_nothing(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    sqlite_store.versions.release(claim)
    newer = go_on(sqlite_store, "another run")
    with pytest.raises(Fenced), holding(sqlite_store, claim):
        raise Fenced("somebody else holds it")
    assert sqlite_store.versions.hold(newer)


def test_a_lost_claim_ends_the_heartbeat_and_the_body_goes_on(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    sqlite_store.versions.release(claim)
    newer = go_on(sqlite_store, "another run")
    before = version(sqlite_store).beat
    with holding(sqlite_store, claim, heartbeat_seconds=0.001):
        pass
    assert version(sqlite_store).beat == before
    assert sqlite_store.versions.hold(newer)


def test_a_store_that_is_gone_while_giving_back_does_not_hide_the_error(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claimed(sqlite_store)

    def gone(*arguments: object, **options: object) -> None:
        raise StoreUnavailable("no database")

    monkeypatch.setattr(sqlite_store.versions, "fail", gone)
    with pytest.raises(ValueError, match="the real reason") as caught, holding(sqlite_store, claim):
        raise ValueError("the real reason")
    assert "taken over when it is dead" in caught.value.__notes__[0]


def test_begin_claims_what_waits_and_go_on_never_does(sqlite_store: Store) -> None:
    with pytest.raises(NothingToDo, match="send conversations first"):
        begin(sqlite_store, "run")
    sqlite_store.conversations.capture([conversation(1)])
    with pytest.raises(NothingToDo, match="materialise raw_conversations first"):
        go_on(sqlite_store, "run")
    assert begin(sqlite_store, "run").n == 1


def test_a_living_owner_is_not_robbed(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, "first")
    with holding(sqlite_store, claim, heartbeat_seconds=0.01), pytest.raises(VersionBusy, match="held by first"):
        begin(sqlite_store, "second", lease_seconds=0.5)


def test_a_dead_owner_is_followed_after_one_lease(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, "first")
    taken = begin(sqlite_store, "second", lease_seconds=0.2)
    assert (taken.n, taken.fence, taken.resumed) == (1, claim.fence + 1, True)


def test_a_beat_already_watched_by_the_sensor_is_taken_over_without_waiting(sqlite_store: Store) -> None:
    claimed(sqlite_store, "first")
    taken = begin(sqlite_store, "second", dead_beat=version(sqlite_store).beat, lease_seconds=600)
    assert taken.n == 1


def test_a_beat_that_moved_since_the_sensor_saw_it_is_respected_at_once(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store, "first")
    seen = version(sqlite_store).beat
    sqlite_store.versions.hold(claim)
    with pytest.raises(VersionBusy):
        begin(sqlite_store, "second", dead_beat=seen, lease_seconds=600)


def test_a_version_a_person_stopped_is_not_taken_up(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    sqlite_store.versions.stop(1)
    with pytest.raises(VersionStopped):
        go_on(sqlite_store, "run")
    sqlite_store.versions.resume(1)
    assert go_on(sqlite_store, "run").fence == claim.fence + 1


def test_a_stop_between_two_steps_costs_no_attempt(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    with holding(sqlite_store, claim):
        sqlite_store.versions.stop(1)
    with pytest.raises(VersionStopped):
        go_on(sqlite_store, "another run")
    assert not version(sqlite_store).released, "only its owner gives the lease back"
    with pytest.raises(VersionStopped):
        go_on(sqlite_store, "run")
    assert version(sqlite_store).released
    sqlite_store.versions.resume(1)
    assert go_on(sqlite_store, "another run").attempt == 1
