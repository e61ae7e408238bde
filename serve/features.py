"""The look-up of a user's features before a prediction: bounded, counted, and never what a prediction waits for."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serve.metrics import Metrics

log = logging.getLogger(__name__)

FeatureLookUp = Callable[[str], dict[str, Any] | None]

_THREADS = 4


class Features:
    """Without a source nothing is looked up. A look-up that fails or is slow is counted, and there are no features."""

    def __init__(self, source: FeatureLookUp | None, metrics: Metrics, seconds: float) -> None:
        self._source, self._metrics, self._seconds = source, metrics, seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="features")
        self._running = 0

    async def of(self, user_id: str | None) -> dict[str, Any]:
        """What is known of a user."""
        if self._source is None or user_id is None:
            return {}
        outcome, found = await self._look_up(self._source, user_id)
        self._metrics.features.labels(outcome).inc()
        return found

    async def _look_up(self, source: FeatureLookUp, user_id: str) -> tuple[str, dict[str, Any]]:
        if self._running >= _THREADS:  # all of them are slow: one more would only wait
            return "slow", {}
        self._running += 1
        look_up = asyncio.get_running_loop().run_in_executor(self._threads, source, user_id)
        look_up.add_done_callback(self._ended)
        done, _ = await asyncio.wait({look_up}, timeout=self._seconds)
        if not done:
            return "slow", {}
        if error := look_up.exception():
            log.warning("the features of a user could not be looked up: %s", type(error).__name__)
            return "failed", {}
        found = look_up.result()
        return ("found", found) if found else ("none", {})

    def _ended(self, look_up: "asyncio.Future[Any]") -> None:
        self._running -= 1
        if not look_up.cancelled():
            look_up.exception()  # one that nobody waited for is not reported as forgotten
