"""Notes which arm answered whom and how it went: beside the chat, bounded, in batches."""

import asyncio
import logging
from collections import deque

from resources.experiments import Served
from resources.store import StoreUnavailable
from serve.experiment_follower import Assigned
from serve.metrics import Metrics
from serve.store_door import StoreDoor
from serve.turn import Draft, Turn

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
BATCH = 500


class ServedLog:
    """What no longer fits is counted and left out: chat waits for none of it."""

    def __init__(self, door: StoreDoor, metrics: Metrics, interval_seconds: float = 1.0) -> None:
        self._door, self._metrics, self._interval = door, metrics, interval_seconds
        self._waiting: deque[Served] = deque()

    def note(self, arm: Assigned, turn: Turn, draft: Draft, seconds: float) -> None:
        """One reply of an arm; of who asked not to be stored nothing is noted."""
        outcome = "failed" if draft.failed else "answered" if draft.finish else "abandoned"
        self._metrics.experiment_replies.labels(arm.arm, outcome).inc()
        if not turn.keep:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._metrics.experiment_unnoted.inc()
            return
        answered = outcome == "answered"
        self._waiting.append(
            Served(
                arm.experiment,
                arm.unit,
                arm.arm,
                user_id=turn.user_id,
                session_id=turn.session_id,
                conversation_id=turn.id,
                seconds=seconds if answered else None,
                length=len(draft.text.strip()) if answered else None,
                failed=draft.failed,
                created_at=turn.asked_at,
            )
        )

    async def run(self) -> None:
        """Write what waits again and again until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; with the store away it goes on waiting."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                await self._door.ask(lambda store, batch=batch: store.experiments.record(batch))  # type: ignore[misc]
            except StoreUnavailable as error:
                self._waiting.extendleft(reversed(batch))
                log.warning("%d replies of an experiment wait to be noted: %s", len(self._waiting), error)
                return
            except Exception as error:  # noqa: BLE001 (top of the loop: what the store cannot take must not end it)
                self._metrics.experiment_unnoted.inc(len(batch))
                log.error("%d replies of an experiment were not noted: %s", len(batch), type(error).__name__)
