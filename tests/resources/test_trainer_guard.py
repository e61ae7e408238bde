import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.live_settings import LiveSettings
from resources.progress import Progress
from resources.store import Store, open_store
from resources.trainer_guard import TrainerGuard
from resources.versions import Claim
from tests.core.examples import conversation

REPORT = Progress(1, 9, 2.5, 1e-3, 250.0, 60.0, "training")
PATIENCE_SECONDS = 20


@pytest.fixture
def claim(sqlite_store: Store) -> Claim:
    sqlite_store.conversations.capture([conversation()])
    claim = sqlite_store.versions.claim("run-1")
    assert claim is not None
    return claim


def guard(store: Store, claim: Claim, on_lost: Callable[[], None]) -> TrainerGuard:
    return TrainerGuard(store, claim, seconds=0.01, on_lost=on_lost)


def must_not_be_lost() -> None:
    raise AssertionError("the claim is held")


def test_it_beats_while_it_is_entered_and_not_after(sqlite_store: Store, claim: Claim) -> None:
    before = sqlite_store.versions.get(claim.n).beat
    beaten = threading.Event()
    with guard(sqlite_store, claim, must_not_be_lost):
        while sqlite_store.versions.get(claim.n).beat < before + 3:
            assert not beaten.wait(0.01)
    after = sqlite_store.versions.get(claim.n).beat
    assert not beaten.wait(0.1)
    assert sqlite_store.versions.get(claim.n).beat == after


def test_a_claim_that_is_lost_ends_the_trainer(sqlite_store: Store, claim: Claim) -> None:
    lost = threading.Event()
    with guard(sqlite_store, claim, lost.set):
        sqlite_store.versions.release(claim)
        assert sqlite_store.versions.claim("run-2") is not None
        assert lost.wait(PATIENCE_SECONDS)


def test_a_claim_lost_before_the_start_ends_it_before_anything_is_done(sqlite_store: Store, claim: Claim) -> None:
    lost = threading.Event()
    stale = Claim(claim.n, claim.fence + 5, 1, "open", resumed=False)
    with guard(sqlite_store, stale, lost.set):
        assert lost.is_set()


def test_a_version_nobody_knows_is_a_lost_claim(sqlite_store: Store) -> None:
    lost = threading.Event()
    guard(sqlite_store, Claim(99, 1, 1, "open", resumed=False), lost.set).demand_hold()
    assert lost.is_set()


def test_a_person_who_stops_the_version_is_heard(sqlite_store: Store, claim: Claim) -> None:
    with guard(sqlite_store, claim, must_not_be_lost) as entered:
        assert not entered.stop.is_set()
        sqlite_store.versions.stop(claim.n)
        assert entered.stop.wait(PATIENCE_SECONDS)


def test_a_stage_that_has_nothing_to_save_is_told_at_once(sqlite_store: Store, claim: Claim) -> None:
    told = threading.Event()
    with TrainerGuard(sqlite_store, claim, seconds=0.01, on_lost=must_not_be_lost, on_stop=told.set):
        assert not told.wait(0.05)
        sqlite_store.versions.stop(claim.n)
        assert told.wait(PATIENCE_SECONDS)


def test_progress_is_stored_under_the_claim(sqlite_store: Store, claim: Claim) -> None:
    guard(sqlite_store, claim, must_not_be_lost).report(REPORT)
    assert [found.step for found in sqlite_store.progress.curve(claim.n)] == [1]


def test_progress_of_a_lost_claim_ends_the_trainer_and_is_not_stored(sqlite_store: Store, claim: Claim) -> None:
    lost = threading.Event()
    stale = Claim(claim.n, claim.fence + 5, 1, "open", resumed=False)
    guard(sqlite_store, stale, lost.set).report(REPORT)
    assert lost.is_set()
    assert not sqlite_store.progress.curve(claim.n)


def test_a_store_that_is_away_does_not_stop_training(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'db'}", live_defaults=LiveSettings())
    store.conversations.capture([conversation()])
    claim = store.versions.claim("run-1")
    assert claim is not None
    with guard(store, claim, must_not_be_lost) as entered:
        (tmp_path / "db").rename(tmp_path / "elsewhere")
        entered.report(REPORT)
        assert not entered.stop.wait(0.1)
        assert entered._thread.is_alive()
        (tmp_path / "elsewhere").rename(tmp_path / "db")
    store.close()
