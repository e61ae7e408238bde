"""The lease on a version while one step works on it: taken, kept by a heartbeat, given back when the step breaks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from resources.failures import classify
from resources.store import Fenced, Store, StoreError, StoreUnavailable, VersionBusy, VersionStopped
from resources.versions import Claim, Version

HEARTBEAT_SECONDS = 1.0


class NothingToDo(RuntimeError):
    """There is no version to work on; the message says how one comes to be."""


def begin(
    store: Store,
    owner: str,
    *,
    dead_beat: int | None = None,
    lease_seconds: float = 15.0,
    trigger: int | None = None,
) -> Claim:
    """Claim the unfinished version, or everything that waits as a new one; NothingToDo when nothing waits.

    `trigger` is the request that this run was started for: cancelled meanwhile, it begins nothing.
    """
    claim = mine(store, owner) or _claim(store, owner, dead_beat, lease_seconds, trigger)
    if claim is None:
        if trigger is not None and not store.triggers.waits(trigger):
            raise NothingToDo("What this run was started for was cancelled, or another run served it: nothing is begun")
        raise NothingToDo("Nothing eligible waits and no version is unfinished: send conversations first")
    return claim


def go_on(store: Store, owner: str, *, dead_beat: int | None = None, lease_seconds: float = 15.0) -> Claim:
    """Claim the unfinished version, never a new one."""
    if claim := mine(store, owner):
        return claim
    if store.versions.unfinished() is None:
        raise NothingToDo("No version is unfinished: materialise raw_conversations first, it claims what waits")
    claim = _claim(store, owner, dead_beat, lease_seconds)
    if claim is None:
        raise NothingToDo("The version was finished in this moment by another run: look at the last run")
    return claim


def mine(store: Store, owner: str) -> Claim | None:
    """The claim this owner holds already."""
    version = _held(store, owner)
    return _claim_on(version) if version and version.desired == "run" else None


@contextmanager
def holding(
    store: Store, claim: Claim, *, keep: bool = True, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> Iterator[Claim]:
    """Beat while the body runs; an error counts as a failed attempt, an interruption only gives the lease back.

    `keep`: the lease stays with its owner afterwards, for the next step of the same run.
    """
    done = Event()
    beat = Thread(target=_beat, args=(store, claim, done, heartbeat_seconds), name=f"lease-v{claim.n}", daemon=True)
    beat.start()
    try:
        yield claim
    except BaseException as error:
        _stop(done, beat)
        _give_back(store, claim, error)
        raise
    _stop(done, beat)
    if not keep:
        store.versions.release(claim)


def error_class_of(error: BaseException) -> str:
    """The class the API reports: the error's own where it has one."""
    own = getattr(error, "error_class", None)
    if isinstance(own, str):
        return own
    found = classify(error)
    return "DATASET_ERROR" if found == "UNKNOWN_ERROR" and isinstance(error, ValueError) else found


def _held(store: Store, owner: str) -> Version | None:
    version = store.versions.unfinished()
    return version if version and version.owner == owner and not version.released else None


def _claim_on(version: Version) -> Claim:
    return Claim(version.n, version.fence, version.attempts, version.state, resumed=version.attempts > 1)


def _claim(
    store: Store, owner: str, dead_beat: int | None, lease_seconds: float, trigger: int | None = None
) -> Claim | None:
    """Claim; where another owner holds the version and nobody watched it so far, watch it for one lease."""
    try:
        return store.versions.claim(owner, dead_beat=dead_beat, trigger=trigger)
    except VersionStopped:
        # a person's stop is no crash: a lease left standing would cost an attempt when the version goes on
        if held := _held(store, owner):
            store.versions.release(_claim_on(held))
        raise
    except VersionBusy as busy:
        if dead_beat is not None or not _stays_still(store, busy, lease_seconds):
            raise
        return store.versions.claim(owner, dead_beat=busy.beat, trigger=trigger)


def _stays_still(
    store: Store,
    busy: VersionBusy,
    lease_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether the beat does not change for a whole lease on our own clock."""
    end = clock() + lease_seconds
    while clock() < end:
        pause(min(0.5, lease_seconds / 4))
        version = store.versions.unfinished()
        if version is None or version.n != busy.n or version.released:
            return True
        if version.beat != busy.beat:
            return False
    return True


def _beat(store: Store, claim: Claim, done: Event, seconds: float) -> None:
    while not done.wait(seconds):
        try:
            if not store.versions.hold(claim):
                return
        except StoreUnavailable:
            continue


def _stop(done: Event, beat: Thread) -> None:
    done.set()
    beat.join()


def _give_back(store: Store, claim: Claim, error: BaseException) -> None:
    try:
        if isinstance(error, Fenced):
            return
        if not isinstance(error, Exception) or error_class_of(error) == "INTERRUPTED":
            store.versions.release(claim)
        else:
            store.versions.fail(claim, error_class_of(error), str(error))
    except StoreError as second:
        error.add_note(f"The lease on v{claim.n} was not given back ({second}): it is taken over when it is dead")
