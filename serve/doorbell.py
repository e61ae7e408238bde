"""Wakes the followers of the store when somebody changed what they follow, whatever process that was."""

import asyncio
import logging
import socket
from collections.abc import Sequence

log = logging.getLogger(__name__)


class Doorbell:
    """`ringing` holds one event for each follower; a follower clears its own before it looks."""

    def __init__(self, ringing: Sequence[asyncio.Event]) -> None:
        self._ringing = ringing
        self._listener: socket.socket | None = None

    def open(self, listener: socket.socket | None) -> None:
        """Heed what `Store.listen` gave, on the running loop, until `close`; without it followers only look in turn."""
        self._listener = listener
        if listener is None:
            log.warning("no place to listen is free: a new champion is seen at the next look")
            return
        asyncio.get_running_loop().add_reader(listener, self._heard)

    def close(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _heard(self) -> None:
        assert self._listener is not None  # noqa: S101 -- the loop calls this for the listener alone
        try:
            while self._listener.recv(16):
                pass
        except BlockingIOError:
            pass
        for event in self._ringing:
            event.set()


async def wait_for_bell(bell: asyncio.Event, seconds: float) -> None:
    """Until it rings, at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
