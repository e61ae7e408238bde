"""Keeps conversations: one bounded wait for the shared commit, and a reply goes out whatever comes of it."""

import asyncio
import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from core.conversation import Conversation
from resources.conversations import Captured
from resources.store import CaptureFull, StoreUnavailable
from serve.metrics import Metrics

log = logging.getLogger(__name__)

# Seconds between two tries to store a reply whose client is gone: a store may be away for some two minutes.
PAUSES = (0.5, 1, 2, 5, 10, 20, 40, 60)
MOST_LATER = 1000


class Writer(Protocol):
    """What is needed of `resources.capture.CaptureWriter`."""

    @property
    def waiting(self) -> int: ...

    def submit(self, conversation: Conversation) -> Future[Captured]: ...


@dataclass(frozen=True)
class Kept:
    """Whether the conversation is in the store, and if it is not, or not eligible, why."""

    collected: bool
    eligible: bool = False
    reason: str | None = None


class Keeper:
    def __init__(self, writer: Writer, seconds: float, metrics: Metrics | None = None) -> None:
        self._writer, self._seconds, self._metrics = writer, seconds, metrics or Metrics()
        self._tasks: set[asyncio.Task[None]] = set()

    async def keep(self, conversation: Conversation) -> Kept:
        """Wait until it is committed, but not long: `collected` is true only of what is on disk."""
        began = time.monotonic()
        try:
            waiting = asyncio.wrap_future(self._writer.submit(conversation))
        except (CaptureFull, StoreUnavailable) as error:
            return Kept(False, reason=_reason(error))
        waiting.add_done_callback(_note)
        done, _ = await asyncio.wait({waiting}, timeout=self._seconds)  # cancels nothing: the commit goes on without us
        if not done:
            return Kept(False, reason="store_slow")
        failure = waiting.exception()
        if failure is not None:
            return Kept(False, reason=_reason(failure))
        captured = waiting.result()
        self._metrics.capture_seconds.observe(time.monotonic() - began)
        self._metrics.captures.labels(str(captured.eligible).lower()).inc()
        return Kept(captured.collected, captured.eligible, captured.reason)

    def keep_later(self, conversation: Conversation) -> None:
        """Hand over what a client that has left will not be told of, again and again while the store is away.

        Its client may have been told that it is in the store: the row that says so is there, and waits for its words.
        """
        first = self._submit(conversation)  # at once: at a stop the writer finishes what it has been given
        if self.later >= MOST_LATER:
            first.add_done_callback(_note)
            return
        task = asyncio.get_running_loop().create_task(self._until_stored(conversation, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def later(self) -> int:
        """How many of those are not in the store yet."""
        return len(self._tasks)

    async def _until_stored(self, conversation: Conversation, first: Future[Captured]) -> None:
        waiting = asyncio.wrap_future(first)
        for pause in PAUSES:
            await asyncio.wait({waiting})  # cancels nothing: the commit goes on without us
            if not isinstance(waiting.exception(), StoreUnavailable | CaptureFull):
                break
            await asyncio.sleep(pause)
            waiting = asyncio.wrap_future(self._submit(conversation))
        await asyncio.wait({waiting})
        _note(waiting)

    def _submit(self, conversation: Conversation) -> Future[Captured]:
        try:
            return self._writer.submit(conversation)
        except (CaptureFull, StoreUnavailable) as error:
            refused: Future[Captured] = Future()
            refused.set_exception(error)
            return refused


def _reason(error: BaseException) -> str:
    return "queue_full" if isinstance(error, CaptureFull) else "store_unavailable"


def _note(done: "asyncio.Future[Captured] | Future[Captured]") -> None:
    if not done.cancelled() and (error := done.exception()):
        # what a database says of a row it refuses repeats the row
        known = isinstance(error, StoreUnavailable | CaptureFull)
        log.warning("a conversation was not stored: %s", error if known else type(error).__name__)
