"""Evaluating a version again: one at a time, in a process of its own, while nothing trains. It moves no champion."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from core.gate import judge
from core.text_metrics import METRICS, figures
from core.verdict import GateThresholds
from resources import report_page
from resources.evaluations import Again
from resources.report import read_evaluation
from resources.store import Store
from resources.store_errors import Fenced, StoreError
from resources.stories import story_of
from resources.trainer import TrainerFailed, TrainerProcess

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
MOST_SECONDS = 3600.0
# another attempt may end otherwise
_PASSING = frozenset({"INTERRUPTED", "OUT_OF_MEMORY", "DISK_ERROR", "GPU_ERROR"})

Kept = Callable[[int, Path], None]


class Reevaluations:
    """Does what people asked for, as long as its process lives; another that died is known by a beat that stands still.

    `kept` is told of each version whose page has changed.
    """

    def __init__(
        self,
        store: Store,
        trainer: TrainerProcess,
        state_dir: Path,
        thresholds: GateThresholds,
        lease_seconds: float,
        kept: Kept = lambda n, folder: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._trainer, self._state_dir, self._thresholds = store, trainer, state_dir, thresholds
        self._lease_seconds, self._kept, self._clock = lease_seconds, kept, clock
        self._seen: tuple[int, int, int] | None = None
        self._since = 0.0

    def turn(self) -> str | None:
        """Do one that waits, and say what came of it; None where there is nothing to do or a version is in work."""
        self._end_dead()
        version = self._store.versions.unfinished()
        if version is not None and version.desired == "run":
            return None
        again = self._store.evaluations.begin()
        return None if again is None else self._do(again)

    def _do(self, again: Again) -> str:
        try:
            self._trainer.evaluate_again(again.n, again.id, _Beats(self._store, again, self._clock))
            return self._keep(again)
        except TrainerFailed as failed:
            ended = self._store.evaluations.leave if failed.error_class in _PASSING else self._store.evaluations.fail
            ended(again, str(failed))
            return f"evaluation {again.id} of v{again.n} failed: {failed.error_class}"
        except (ValueError, TimeoutError, StoreError) as error:
            self._store.evaluations.fail(again, str(error))
            return f"evaluation {again.id} of v{again.n} ended without a result: {type(error).__name__}"

    def _keep(self, again: Again) -> str:
        folder = self._state_dir / "reports" / f"v{again.n}"
        mine = folder / "evaluations" / str(again.id)
        measured = read_evaluation(mine)
        verdict = judge(measured, self._thresholds)
        asked = [metric for metric in METRICS if metric in again.metrics]
        if self._store.evaluations.finish(again, measured.champion, verdict, figures(measured, asked)):
            report_page.write_page(mine, story_of(self._store, self._state_dir, again.n, measured, verdict))
            self._kept(again.n, mine)
        return f"evaluation {again.id} of v{again.n} is done"

    def _end_dead(self) -> None:
        running = self._store.evaluations.running()
        found = (running.id, running.attempts, running.beat) if running else None
        if found != self._seen:
            self._seen, self._since = found, self._clock()
        elif running is not None and self._clock() - self._since >= self._lease_seconds:
            self._store.evaluations.leave(running, "INTERRUPTED: its process ended before it did")


class _Beats:
    """Says every few seconds that it goes on; raises where it must not."""

    def __init__(self, store: Store, again: Again, clock: Callable[[], float]) -> None:
        self._store, self._again, self._clock = store, again, clock
        self._began = self._last = clock()

    def __call__(self) -> None:
        now = self._clock()
        if now - self._began > MOST_SECONDS:
            raise TimeoutError(f"Expected an evaluation within {MOST_SECONDS:g} s, found it unfinished")
        if now - self._last >= BEAT_SECONDS:
            self._last = now
            if not self._store.evaluations.keep(self._again):
                raise Fenced(f"evaluation {self._again.id} was taken over")
