"""An upstream behind its circuit breaker and its deadlines: asked, watched, and left alone while it fails."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from core.breaker import Breaker, BreakerLimits, Ticket
from serve.circuits import Circuits
from serve.engine_client import PLACES_TAKEN, AdapterNotServed, Body, EngineBusy, Item
from serve.errors import ApiError, busy
from serve.teacher import REFUSED

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
    """`Chats` that counts the failures of each of its models.

    What the client did wrong, and a client that left, count as neither failure nor success.
    """

    def __init__(
        self,
        chats: Chats,
        deadlines: Deadlines,
        limits: BreakerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chats, self._deadlines, self._clock = chats, deadlines, clock
        self._circuits = Circuits(limits or BreakerLimits(probe_seconds=deadlines.reply + 1.0), clock)

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """See EngineClient.chat. Raises ApiError 503 `circuit_open` while the breaker of `body["model"]` is open."""
        circuit = self._circuits.of(str(body.get("model")))
        breaker = circuit.breaker
        ticket = breaker.admit(self._clock())
        if ticket is None:
            seconds = max(1, math.ceil(breaker.retry_in(self._clock())))
            raise busy(f"Expected {circuit.name} to answer, found it failed again and again", CIRCUIT_OPEN, seconds)
        stream = bool(body.get("stream"))
        outcome: Outcome = breaker.failed
        promised, began = True, asyncio.get_running_loop().time()
        try:
            async with aclosing(self._chats.chat(body)) as items:
                async for item in self._in_time(items, stream):
                    promised = stream and promised and _is_promise(item)
                    outcome = breaker.failed if promised else _said_by(item, breaker)
                    yield item
        except (asyncio.CancelledError, GeneratorExit):
            # who hangs up on a stream that had begun to speak was answered; who waited as long as anybody may was not
            if promised and asyncio.get_running_loop().time() - began < self._patience(stream):
                outcome = breaker.dropped
            raise
        except Exception as error:
            outcome = breaker.dropped if _of_the_request(error) else breaker.failed
            raise
        finally:
            outcome(ticket, self._clock())
            circuit.note(self._clock())

    def status(self, also: str | None = None) -> dict[str, dict[str, Any]]:
        """What `GET /api/v1/circuit-breaker/status` says of each model that was asked for, and of `also`."""
        if also is not None:
            self._circuits.of(also)
        return self._circuits.status()

    def try_now(self) -> None:
        """It is known to be back after it was away."""
        self._circuits.try_now()

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


def _said_by(item: Item, breaker: Breaker) -> Outcome:
    if isinstance(item, str):  # an error may be said as an event, too
        return breaker.failed if item.startswith('data: {"error"') else breaker.succeeded
    status = int(item.get("status", 500))
    if status >= 500:
        error = (item.get("json") or {}).get("error")  # others answer for now: a load, no failure of this one
        load = isinstance(error, dict) and error.get("code") == PLACES_TAKEN
        return breaker.dropped if load else breaker.failed
    return breaker.succeeded if status == 200 else breaker.dropped


def _is_promise(item: Item) -> bool:
    """A head that says a stream follows: an answer only once its first words came."""
    return isinstance(item, dict) and item.get("status") == 200 and "json" not in item


def _of_the_request(error: Exception) -> bool:
    """Whether the error says something of the request, or of load, and nothing of the upstream's health."""
    if isinstance(error, ApiError):
        return error.status < 500 or error.code in ("teacher_busy", REFUSED)
    return isinstance(error, EngineBusy | AdapterNotServed)
