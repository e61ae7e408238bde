"""A stop or a cancellation that meets the end of the version: one of them wins, whole, on both databases."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from resources.store import Fenced, NotAllowed, Store, StoreError, VersionStopped
from resources.tables import utc_now
from resources.versions import Claim
from tests.resources.examples import SHA, claimed, conclude, event_types, verdict, version_of

ROUNDS = 6


def ready_to_conclude(store: Store, n: int) -> Claim:
    claim = claimed(store, f"a{n}", f"b{n}", owner=f"run-{n}")
    store.versions.mark_trained(claim, SHA, {})
    store.versions.set_verdict(claim, verdict(n % 2 == 0), "reports/x/report.md")
    return claim


def at_once(*works: Callable[[], object]) -> list[BaseException | None]:
    """All at the same moment; what each of them raised."""
    start, raised = threading.Barrier(len(works)), [None] * len(works)  # type: list[BaseException | None]

    def run(number: int, work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
        except StoreError as error:
            raised[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(raised)


def test_a_cancellation_that_meets_the_end_leaves_one_clear_state(store: Store) -> None:
    for n in range(1, ROUNDS + 1):
        claim = ready_to_conclude(store, n)
        ended, cancelled = at_once(
            lambda claim=claim: store.versions.conclude(claim, None),
            lambda n=n: store.versions.abandon(n, "not wanted"),
        )
        version = store.versions.get(n)
        assert version.finished_at is not None
        if cancelled is None:
            assert isinstance(ended, Fenced)
            assert (version.state, version_of(store, f"a{n}")) == ("abandoned", None)
            assert store.champion.get().n != n, "nothing given up answers"
        else:
            assert isinstance(cancelled, NotAllowed)
            assert ended is None
            assert (version.state in ("promoted", "rejected"), version_of(store, f"a{n}")) == (True, n)


def test_a_stop_that_meets_the_end_never_holds_up_what_is_concluded(store: Store) -> None:
    for n in range(1, ROUNDS + 1):
        claim = ready_to_conclude(store, n)
        ended, stopped = at_once(
            lambda claim=claim: store.versions.conclude(claim, None), lambda n=n: store.versions.stop(n)
        )
        assert ended is None
        assert stopped is None or isinstance(stopped, NotAllowed)
        assert store.versions.get(n).state in ("promoted", "rejected")
        assert store.versions.unfinished() is None, "the next version can begin"


def test_of_a_stop_and_a_resume_the_later_one_counts(store: Store) -> None:
    claim = claimed(store, "a")
    at_once(lambda: store.versions.stop(1), lambda: store.versions.resume(1))
    store.versions.release(claim)
    last = [kind for kind in event_types(store) if kind in ("stop_asked", "resume_asked")][-1]
    desired = store.versions.get(1).desired
    assert desired == ("run" if last == "resume_asked" else "stop")
    if desired == "stop":
        with pytest.raises(VersionStopped):
            store.versions.claim("run-2")
    else:
        assert store.versions.claim("run-2") is not None


def test_a_stop_said_twice_is_one_event_and_a_cancelled_version_can_be_neither_stopped_nor_resumed(
    store: Store,
) -> None:
    claimed(store, "a")
    store.versions.stop(1)
    store.versions.stop(1)
    assert event_types(store).count("stop_asked") == 1
    store.versions.abandon(1, "not wanted")
    for ask in (store.versions.stop, store.versions.resume):
        with pytest.raises(NotAllowed, match="found it abandoned"):
            ask(1)


def test_a_run_cancelled_before_a_person_resumed_stops_nothing(store: Store) -> None:
    claim = claimed(store, "a")
    store.versions.release(claim)
    cancelled = utc_now()
    assert store.versions.stop_cancelled(1, cancelled)
    assert not store.versions.stop_cancelled(1, cancelled), "said once"
    store.versions.resume(1)
    assert not store.versions.stop_cancelled(1, cancelled)
    assert store.versions.stop_cancelled(1, utc_now() + timedelta(seconds=1)), "cancelled again since"
    store.versions.resume(1)
    claim = store.versions.claim("run-2") or pytest.fail("not claimed")
    conclude(store, claim)
    assert not store.versions.stop_cancelled(1, utc_now())
