"""The one writer of captured conversations: whatever waits shares one commit."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, Queue

from core.conversation import Conversation
from resources.capturing import Captured
from resources.store import Store
from resources.store_errors import CaptureFull, StoreUnavailable

__all__ = ["CaptureFull", "CaptureWriter"]

log = logging.getLogger(__name__)

MAX_BATCH = 256
_GATHERING = 0.01  # seconds
_SLOWEST = 1.0
_WORTH = 2  # more conversations; a commit costs as much as storing that many

Waiting = tuple[Conversation, Future[Captured]]


class Pace:
    """How fast conversations come: believed when it lasts, a slower one at once."""

    def __init__(self, now: float) -> None:
        self._seconds, self._last = _SLOWEST, now  # from one to the next

    def note(self, count: int, now: float) -> None:
        """A batch of `count` was taken at `now`, in seconds."""
        each = (now - self._last) / count
        self._seconds, self._last = min(_SLOWEST, max(each, (self._seconds + each) / 2)), now

    def expected(self, seconds: float) -> float:
        """How many are to come within so many seconds."""
        return seconds / self._seconds


class CaptureWriter:
    """A thread that commits all waiting conversations at once; an answer comes only after the commit."""

    def __init__(self, store: Store, max_waiting: int = 1000) -> None:
        self._store = store
        self._queue: Queue[Waiting | None] = Queue()
        self._max_waiting = max_waiting
        self._gate = threading.Lock()
        self._closed = False
        self._pace = Pace(time.monotonic())
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def submit(self, conversation: Conversation) -> Future[Captured]:
        """CaptureFull when too many wait; the future raises StoreUnavailable when nothing was stored."""
        future: Future[Captured] = Future()
        # running from the start: who stops waiting for the answer does not take the conversation back
        future.set_running_or_notify_cancel()
        with self._gate:
            if self._closed:
                raise CaptureFull("Expected an open capture writer, found it closed: the process is ending")
            if self._queue.qsize() >= self._max_waiting:
                raise CaptureFull(f"{self._max_waiting} conversations wait for the store: try again later")
            self._queue.put((conversation, future))
        return future

    @property
    def waiting(self) -> int:
        """Conversations that are handed over and not on disk."""
        return self._queue.qsize()

    def close(self) -> None:
        """Write what waits, then end."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._settle(batch)

    def _next_batch(self) -> list[Waiting] | None:
        """At least one, and all that came while the last ones were written; None at the end.

        Where many come, a moment more for them to share the commit (PostgreSQL's commit_delay): a third of the
        processor time of a busy ingress would go into commits of one or two.
        """
        first = self._queue.get()
        if first is None:
            return None
        if self._pace.expected(_GATHERING) >= _WORTH:
            time.sleep(_GATHERING)
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                more = self._queue.get_nowait()
            except Empty:
                break
            if more is None:
                self._queue.put(None)
                break
            batch.append(more)
        self._pace.note(len(batch), time.monotonic())
        return batch

    def _settle(self, batch: Sequence[Waiting]) -> None:
        try:
            captured = self._capture([conversation for conversation, _ in batch])
        except StoreUnavailable as error:
            log.warning("%d conversations were not captured: %s", len(batch), error)
            for _, future in batch:
                future.set_exception(error)
        except Exception as error:  # noqa: BLE001 -- top of the worker loop: one bad conversation must not end it
            self._settle_one_by_one(batch, error)
        else:
            for (_, future), one in zip(batch, captured, strict=True):
                future.set_result(one)

    def _settle_one_by_one(self, batch: Sequence[Waiting], error: Exception) -> None:
        if len(batch) > 1:
            for waiting in batch:
                self._settle([waiting])
            return
        # the type alone: the message may repeat the conversation
        log.error("a conversation was not captured: %s", type(error).__name__)
        batch[0][1].set_exception(error)

    def _capture(self, conversations: Sequence[Conversation]) -> list[Captured]:
        """Once more after an outage: a lost connection is only noticed by using it, and ids make repeating harmless."""
        try:
            return self._store.conversations.capture(conversations)
        except StoreUnavailable:
            return self._store.conversations.capture(conversations)
