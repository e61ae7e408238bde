"""The live settings as last seen, so that a chat waits for no database and outlives it."""

import asyncio
import logging

from core.live_settings import LiveSettings
from resources.store import StoreUnavailable
from serve.store_door import StoreDoor

log = logging.getLogger(__name__)


class LiveView:
    def __init__(self, door: StoreDoor, start: LiveSettings, interval_seconds: float = 1.0) -> None:
        self.settings = start
        self._door, self._interval = door, interval_seconds

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._interval)

    async def refresh(self) -> None:
        try:
            self.settings = await self._door.ask(lambda store: store.settings.get())
        except StoreUnavailable as error:
            log.warning("live settings not read, the last known ones hold: %s", error)
        except Exception as error:  # noqa: BLE001 (top of the loop: one bad look must not end the looking, nor the start)
            log.error("live settings not read, the last known ones hold: %s", type(error).__name__)
