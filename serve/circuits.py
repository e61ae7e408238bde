"""One circuit breaker for each model of an upstream: an adapter that fails is left alone, and no other with it."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from core.breaker import Breaker, BreakerLimits, State

log = logging.getLogger(__name__)

MOST_CIRCUITS = 64


class Circuit:
    """A breaker that says once when it opened or closed."""

    def __init__(self, name: str, limits: BreakerLimits) -> None:
        self.name, self.breaker = name, Breaker(limits)
        self._opened_at: datetime | None = None
        self._said: State = "CLOSED"

    def note(self, now: float) -> State:
        """The state at `now`, seconds of the breaker's clock."""
        state = self.breaker.state(now)
        if state != self._said:
            if state == "OPEN":
                self._opened_at = datetime.now(UTC)
            elif state == "CLOSED":
                self._opened_at = None
            log.warning("the circuit breaker of %s: %s → %s", self.name, self._said, state)
            self._said = state
        return state

    def status(self, now: float) -> dict[str, Any]:
        """One item of `GET /api/v1/circuit-breaker/status`."""
        return {
            "state": self.note(now),
            "failures": self.breaker.failures,
            "successes": self.breaker.successes,
            "opened_at": self._opened_at.isoformat() if self._opened_at else None,
            "retry_in_seconds": round(self.breaker.retry_in(now), 1),
        }


class Circuits:
    """At most `most` of them: what was asked for longest ago is forgotten first, what is open last."""

    def __init__(self, limits: BreakerLimits, clock: Callable[[], float], most: int = MOST_CIRCUITS) -> None:
        self._limits, self._clock, self._most = limits, clock, most
        self._circuits: OrderedDict[str, Circuit] = OrderedDict()

    def of(self, name: str) -> Circuit:
        """The circuit of a model, which is from now on the one asked for last."""
        circuit = self._circuits.pop(name, None) or Circuit(name, self._limits)
        self._circuits[name] = circuit
        if len(self._circuits) > self._most:
            self._forget_one(name)
        return circuit

    def status(self) -> dict[str, dict[str, Any]]:
        """All of them by name."""
        now = self._clock()
        return {name: circuit.status(now) for name, circuit in self._circuits.items()}

    def try_now(self) -> None:
        """The upstream is back: what is open lets its probes through."""
        now = self._clock()
        for circuit in self._circuits.values():
            circuit.breaker.try_now(now)
            circuit.note(now)

    def _forget_one(self, but: str) -> None:
        now = self._clock()
        others = [name for name in self._circuits if name != but]
        closed = (name for name in others if self._circuits[name].note(now) == "CLOSED")
        del self._circuits[next(closed, others[0])]
