"""Decides which adapter the engine folds into its weights: the one that takes most of the traffic."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from serve.engine_client import BASE
from serve.folding import FoldRefused

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_SETTLED_LOOKS = 3  # a swap, or a mixed load, shows in the requests of a few seconds
_WINDOW, _FEWEST, _SHARE = 8, 4, 0.75
_AGAIN_SECONDS = 60.0  # a fold costs seconds of a core: two adapters that take turns share one a minute
_REFUSED_SECONDS = 600.0


class Folding(Protocol):
    """What is needed of VllmBackend; `folded` is the adapter that is wholly folded now."""

    folded: str | None

    async def fold(self, name: str) -> None:
        """Fold an adapter in the background, in place of the one before. Raises FoldRefused."""
        ...


class ChampionFolder:
    """Only requests are looked at, so that it holds of every replica by itself, and of an experiment's arms too."""

    def __init__(self, backend: Folding, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend, self._clock = backend, clock
        self._asked: deque[str] = deque(maxlen=_WINDOW)
        self._wanted, self._looks = "", 0
        self._not_before = -_AGAIN_SECONDS
        self._refused: dict[str, float] = {}

    def asked(self, model: str) -> None:
        """A request for this adapter, or the base, begins."""
        self._asked.append(model)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except Exception:  # top of the loop: every adapter is answered with, folded or not
                log.exception("no adapter could be folded; it is tried again")
                self._not_before = self._clock() + _REFUSED_SECONDS

    async def look(self) -> None:
        """Fold what has taken most of the traffic for a while."""
        wanted = self._most_asked()
        self._looks = self._looks + 1 if wanted == self._wanted else 1
        self._wanted = wanted
        now = self._clock()
        settled = self._looks >= _SETTLED_LOOKS and now >= self._not_before
        if wanted in ("", BASE, self._backend.folded) or not settled or now < self._refused.get(wanted, now):
            return
        self._not_before = now + _AGAIN_SECONDS
        try:
            await self._backend.fold(wanted)
        except FoldRefused as refused:
            self._refused = {wanted: now + _REFUSED_SECONDS}
            log.warning("%s is answered with as an adapter: %s", wanted, refused)
        else:
            log.info("%s is folded into the weights (%.1f s)", wanted, self._clock() - now)

    def _most_asked(self) -> str:
        """The name behind three of four of the last requests; "" where there is none."""
        if len(self._asked) < _FEWEST:
            return ""
        ((name, times),) = Counter(self._asked).most_common(1)
        return name if times >= _SHARE * len(self._asked) else ""
