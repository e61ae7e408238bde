"""How fast a training is, and how long it will take."""

import time
from collections.abc import Sequence

from core.pace import Pace


class TrainingClock:
    """Speed over this process, and what is left at the pace of the last steps."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._ticks = 0
        self._done = 0
        self._pace = Pace()
        self._began = time.monotonic()
        self.seconds = 0.0
        self.speed = 0.0

    def tick(self) -> tuple[float, float]:
        before, self.seconds = self.seconds, time.monotonic() - self._began
        self._pace.note(self._tokens[self._ticks], self.seconds - before)
        self._done += self._tokens[self._ticks]
        self._ticks += 1
        self.speed = self._done / max(self.seconds, 1e-9)
        return self.speed, self._pace.seconds_for(sum(self._tokens[self._ticks :]))
