"""A circuit breaker: an upstream that fails again and again is left alone for a while, then tried with a few probes.

Times are seconds of one monotonic clock, given by the caller.
"""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["CLOSED", "OPEN", "HALF_OPEN"]


@dataclass(frozen=True)
class BreakerLimits:
    """What opens and closes it: counts in a row, probes at once, seconds open and seconds a probe may take."""

    failures: int = 5
    open_seconds: float = 60.0
    probes: int = 3
    probe_seconds: float = 120.0
    successes: int = 3


@dataclass(frozen=True)
class Ticket:
    """The right to one request; `era` tells whether the breaker has changed its state since."""

    number: int
    era: int


@dataclass
class Breaker:
    """CLOSED lets all through, OPEN none, HALF_OPEN a few; a request that ends in a later era says nothing."""

    limits: BreakerLimits = field(default_factory=BreakerLimits)
    failures: int = 0
    successes: int = 0
    _era: int = 0
    _given: int = 0
    _open: bool = False
    _half_open: bool = False
    _changed: float = 0.0
    _probes: dict[int, float] = field(default_factory=dict)

    def state(self, now: float) -> State:
        """The state at `now`: time opens the half, and a probe past its deadline has failed."""
        if self._half_open and any(now >= deadline for deadline in self._probes.values()):
            self._fall_open(now)
        if self._open and now - self._changed >= self.limits.open_seconds:
            self._begin(now, half_open=True)
        return "OPEN" if self._open else "HALF_OPEN" if self._half_open else "CLOSED"

    def admit(self, now: float) -> Ticket | None:
        """A ticket to hand back by `succeeded`, `failed` or `dropped`; None: not now."""
        state = self.state(now)
        if state == "OPEN" or (state == "HALF_OPEN" and len(self._probes) >= self.limits.probes):
            return None
        self._given += 1
        if state == "HALF_OPEN":
            self._probes[self._given] = now + self.limits.probe_seconds
        return Ticket(self._given, self._era)

    def succeeded(self, ticket: Ticket, now: float) -> None:
        """It answered."""
        if not self._counts(ticket, now):
            return
        self.failures = 0
        if self._half_open:
            self.successes += 1
            if self.successes >= self.limits.successes:
                self._begin(now, half_open=False)

    def failed(self, ticket: Ticket, now: float) -> None:
        """It did not answer, or badly, and that was its own fault."""
        if not self._counts(ticket, now):
            return
        self.failures += 1
        if self._half_open or self.failures >= self.limits.failures:
            self._fall_open(now)

    def dropped(self, ticket: Ticket, now: float) -> None:
        """The request was wrong, or nobody waited for its end: that says nothing of the upstream."""
        self._counts(ticket, now)

    def try_now(self, now: float) -> None:
        """Who knows that the upstream is back need not wait: OPEN becomes HALF_OPEN."""
        if self.state(now) == "OPEN":
            self._begin(now, half_open=True)

    def retry_in(self, now: float) -> float:
        """Seconds until asking again makes sense; 0 while it lets something through."""
        if self.state(now) == "OPEN":
            return max(0.0, self.limits.open_seconds - (now - self._changed))
        full = self._half_open and len(self._probes) >= self.limits.probes
        return max(0.0, min(self._probes.values()) - now) if full else 0.0

    def _counts(self, ticket: Ticket, now: float) -> bool:
        self.state(now)
        self._probes.pop(ticket.number, None)
        return ticket.era == self._era

    def _fall_open(self, now: float) -> None:
        self._begin(now, half_open=False)
        self._open = True

    def _begin(self, now: float, *, half_open: bool) -> None:
        self._era += 1
        self._open, self._half_open, self._changed = False, half_open, now
        self.failures = self.successes = 0
        self._probes = {}
