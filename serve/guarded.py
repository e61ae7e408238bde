"""An upstream behind its circuit breaker and its deadlines: asked, watched, and left alone while it fails."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from core.breaker import Breaker, BreakerLimits, State, Ticket
from serve.engine_client import AdapterNotServed, Body, EngineBusy, Item
from serve.errors import ApiError, busy

log = logging.getLogger(__name__)

CIRCUIT_OPEN = "circuit_open"

Outcome = Callable[[Ticket, float], None]


class Chats(Protocol):
    """What the engine and the teacher have in common."""

    def chat(self, body: Body) -> AsyncGenerator[Item, None]: ...


@dataclass(frozen=True)
class Deadlines:
    """Seconds: a whole reply, the first words of a stream, and the pause between two pieces of it."""

    reply: float = 120.0
    first_token: float = 120.0
    between_tokens: float = 60.0


class Guarded:
    """`Chats` that counts its own failures. What the client did wrong, and a client that left, count as neither."""

    def __init__(
        self,
        name: str,
        chats: Chats,
        deadlines: Deadlines,
        limits: BreakerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._chats, self._deadlines, self._clock = name, chats, deadlines, clock
        self._breaker = Breaker(limits or BreakerLimits(probe_seconds=deadlines.reply + 1.0))
        self._opened_at: datetime | None = None
        self._said: State = "CLOSED"

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """See EngineClient.chat. Raises ApiError 503 `circuit_open` while the breaker is open."""
        ticket = self._breaker.admit(self._clock())
        if ticket is None:
            seconds = max(1, math.ceil(self._breaker.retry_in(self._clock())))
            raise busy(f"Expected {self.name} to answer, found that it failed again and again", CIRCUIT_OPEN, seconds)
        stream = bool(body.get("stream"))
        outcome: Outcome = self._breaker.failed
        promised, began = True, asyncio.get_running_loop().time()
        try:
            async with aclosing(self._chats.chat(body)) as items:
                async for item in self._in_time(items, stream):
                    promised = stream and promised and _is_promise(item)
                    outcome = self._breaker.failed if promised else self._of(item)
                    yield item
        except (asyncio.CancelledError, GeneratorExit):
            # who hangs up on a stream that had begun to speak was answered; who waited as long as anybody may was not
            if promised and asyncio.get_running_loop().time() - began < self._patience(stream):
                outcome = self._breaker.dropped
            raise
        except Exception as error:
            outcome = self._breaker.dropped if _of_the_request(error) else self._breaker.failed
            raise
        finally:
            outcome(ticket, self._clock())
            self._note()

    def status(self) -> dict[str, Any]:
        """What `GET /api/v1/circuit-breaker/status` says of it."""
        self._note()
        now = self._clock()
        return {
            "state": self._breaker.state(now),
            "failures": self._breaker.failures,
            "successes": self._breaker.successes,
            "opened_at": self._opened_at.isoformat() if self._opened_at else None,
            "retry_in_seconds": round(self._breaker.retry_in(now), 1),
        }

    async def _in_time(self, items: AsyncGenerator[Item, None], stream: bool) -> AsyncGenerator[Item, None]:
        """The head and the first piece after it share one deadline; each later piece has its own."""
        limits, loop = self._deadlines, asyncio.get_running_loop()
        first = loop.time() + (limits.first_token if stream else limits.reply)
        number = 0
        while True:
            deadline = first if number < 2 else loop.time() + limits.between_tokens
            try:
                async with asyncio.timeout_at(deadline):
                    item = await anext(items)
            except StopAsyncIteration:
                return
            number += 1
            yield item

    def _patience(self, stream: bool) -> float:
        """Seconds without a word that are a failure; a little less, as the deadline of the whole turn began before."""
        limits = self._deadlines
        return 0.95 * (min(limits.first_token, limits.reply) if stream else limits.reply)

    def _of(self, item: Item) -> Outcome:
        if isinstance(item, str):  # an error may be said as an event, too
            return self._breaker.failed if item.startswith('data: {"error"') else self._breaker.succeeded
        status = int(item.get("status", 500))
        if status >= 500:
            return self._breaker.failed
        return self._breaker.succeeded if status == 200 else self._breaker.dropped

    def _note(self) -> None:
        """Say once that it opened or closed."""
        state = self._breaker.state(self._clock())
        if state == self._said:
            return
        if state == "OPEN":
            self._opened_at = datetime.now(UTC)
        elif state == "CLOSED":
            self._opened_at = None
        log.warning("the circuit breaker of %s: %s → %s", self.name, self._said, state)
        self._said = state


def _is_promise(item: Item) -> bool:
    """A head that says a stream follows: an answer only once its first words came."""
    return isinstance(item, dict) and item.get("status") == 200 and "json" not in item


def _of_the_request(error: Exception) -> bool:
    """Whether the error says something of the request, or of load, and nothing of the upstream's health."""
    if isinstance(error, ApiError):
        return error.status < 500 or error.code in ("teacher_busy", "teacher_refused")
    return isinstance(error, EngineBusy | AdapterNotServed)
