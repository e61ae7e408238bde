from resources.lease_watch import LeaseWatch
from resources.store import Store
from resources.versions import Claim, Version
from tests.workshop import conversation


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def claimed(store: Store) -> Claim:
    store.conversations.capture([conversation(1)])
    claim = store.versions.claim("run")
    assert claim is not None
    return claim


def version(store: Store) -> Version:
    found = store.versions.unfinished()
    assert found is not None
    return found


def test_a_lease_is_dead_only_after_this_watch_saw_no_beat_for_a_whole_lease(sqlite_store: Store) -> None:
    clock = Clock()
    watch, _ = LeaseWatch(15.0, clock), claimed(sqlite_store)
    assert watch.lease_of(version(sqlite_store)) == "alive"
    clock.now += 14.9
    assert watch.lease_of(version(sqlite_store)) == "alive"
    clock.now += 0.1
    assert watch.lease_of(version(sqlite_store)) == "dead"


def test_a_new_watch_waits_a_whole_lease_however_old_the_beat_is(sqlite_store: Store) -> None:
    clock = Clock()
    claimed(sqlite_store)
    clock.now += 10_000
    assert LeaseWatch(15.0, clock).lease_of(version(sqlite_store)) == "alive"


def test_each_beat_begins_the_lease_anew(sqlite_store: Store) -> None:
    clock = Clock()
    watch, claim = LeaseWatch(15.0, clock), claimed(sqlite_store)
    for _ in range(5):
        watch.lease_of(version(sqlite_store))
        clock.now += 14.0
        assert sqlite_store.versions.hold(claim)
        assert watch.lease_of(version(sqlite_store)) == "alive"


def test_a_released_lease_is_free_at_once(sqlite_store: Store) -> None:
    claim = claimed(sqlite_store)
    sqlite_store.versions.release(claim)
    assert LeaseWatch(15.0).lease_of(version(sqlite_store)) == "released"
