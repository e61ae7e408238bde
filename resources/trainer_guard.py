"""What keeps a trainer honest: it beats for its version, stops when told, and ends at once when it lost the claim."""

import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType

from resources.process import sign_of_life
from resources.progress import Progress
from resources.store import Store
from resources.store_errors import Fenced, NotFound, StoreUnavailable
from resources.trainer import FENCED_OUT, INTERRUPTED
from resources.versions import Claim

logger = logging.getLogger(__name__)


def end_at_once() -> None:
    """End this process without cleaning up: whoever holds the version now must not meet a second writer."""
    os._exit(FENCED_OUT)


def end_as_a_failure() -> None:
    """End this process when one that it trains together with has failed; that one has said why."""
    os._exit(1)


def stop_at_once() -> None:
    """End a stage that has nothing to save: what it writes it writes whole, or not at all."""
    os._exit(INTERRUPTED)


class TrainerGuard:
    """Beats from a thread while it is entered.

    `stop` is set when a person wants the version stopped, and `on_stop` is called each time that is seen.
    """

    def __init__(
        self,
        store: Store,
        claim: Claim,
        *,
        seconds: float = 1.0,
        on_lost: Callable[[], None] = end_at_once,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.stop = threading.Event()
        self._store = store
        self._claim = claim
        self._seconds = seconds
        self._on_lost = on_lost
        self._on_stop = on_stop
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="trainer-guard", daemon=True)

    def __enter__(self) -> "TrainerGuard":
        self.demand_hold()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def demand_hold(self) -> None:
        """One beat now; ends the process when the claim is lost. Called before anything is published."""
        try:
            held = self._store.versions.hold(self._claim)
        except NotFound:
            held = False
        if not held:
            logger.error("v%d is held by somebody else than fence %d", self._claim.n, self._claim.fence)
            self._on_lost()

    def asked_to_stop(self) -> bool:
        """Asked between two steps, which is also the sign that there was one."""
        sign_of_life()
        return self.stop.is_set()

    def report(self, progress: Progress) -> None:
        """Write progress where the store answers; training does not wait for it."""
        try:
            self._store.progress.write(self._claim, progress)
        except Fenced:
            self._on_lost()
        except StoreUnavailable as error:
            logger.warning("Progress of step %d is not stored: %s", progress.step, error)

    def _beat(self) -> None:
        while not self._left.wait(self._seconds):
            try:
                self.demand_hold()
                if self._store.versions.get(self._claim.n).desired == "stop":
                    self.stop.set()
                    self._on_stop()
            except StoreUnavailable as error:
                logger.warning("No beat for v%d: %s", self._claim.n, error)
