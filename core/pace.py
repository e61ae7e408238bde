"""How long what is left will take, from how long the last steps took."""

from collections import deque
from statistics import fmean

WINDOW = 15


class Pace:
    """Seconds a token, as the mean of the last steps without the quickest and the slowest of them.

    The first step warms up what the others use, and one step in many waits for a checkpoint or for another process:
    neither says anything of those to come. A machine that becomes slower is followed within a few steps.
    """

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=WINDOW)
        self._warming = True

    def note(self, tokens: int, seconds: float) -> None:
        """A step is done."""
        if self._warming and self._steps:
            self._steps.clear()
            self._warming = False
        self._steps.append(seconds / max(1, tokens))

    def seconds_for(self, tokens: int) -> float:
        """For this many tokens more; 0 before the first step."""
        rates = sorted(self._steps)
        usual = rates[1:-1] if len(rates) >= 4 else rates
        return tokens * fmean(usual) if usual else 0.0
