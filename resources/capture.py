"""The one writer of captured conversations: whatever waits shares one commit."""

from concurrent.futures import Future

from core.conversation import Conversation
from resources.conversations import Captured
from resources.store import Store
from resources.store_errors import CaptureFull

__all__ = ["CaptureFull", "CaptureWriter"]


class CaptureWriter:
    """A thread that commits all waiting conversations at once; an answer comes only after the commit."""

    def __init__(self, store: Store, max_waiting: int = 1000) -> None:
        raise NotImplementedError

    def submit(self, conversation: Conversation) -> Future[Captured]:
        """CaptureFull when too many wait; the future raises StoreUnavailable when nothing was stored."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what waits, then end."""
        raise NotImplementedError
