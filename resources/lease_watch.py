"""Tells a live lease from a dead one: a beat that stands still for a whole lease on the observer's own clock."""

import time
from collections.abc import Callable
from threading import Lock

from core.scheduling import Lease
from resources.versions import Version


class LeaseWatch:
    """Lives as long as its process, so that a beat is watched over many ticks; safe to ask from several threads."""

    def __init__(self, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._lock = Lock()
        self._seen: tuple[int, int, int, bool] | None = None
        self._since = 0.0

    def lease_of(self, version: Version) -> Lease:
        """Dead only after this watch itself saw no beat for a whole lease."""
        unchanged = self.unchanged_seconds(version)
        if version.released:
            return "released"
        return "dead" if unchanged >= self._lease_seconds else "alive"

    def unchanged_seconds(self, version: Version) -> float:
        """For how long this watch has seen the version's lease as it is now."""
        found = (version.n, version.fence, version.beat, version.released)
        with self._lock:
            if found != self._seen:
                self._seen, self._since = found, self._clock()
            return self._clock() - self._since
