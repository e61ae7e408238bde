"""Follows what a person pinned and keeps it in every engine."""

import asyncio
import logging
import time

from resources.store import Store, StoreUnavailable
from serve.engine_client import AdapterNotServed, EngineClient, EngineUnavailable
from serve.pins import Pins

log = logging.getLogger(__name__)

_REFRESH_SECONDS = 5.0  # a restarted engine has forgotten its adapters
_LOST_SECONDS = 60.0


class PinFollower:
    """What cannot be held is told once and tried again later; champion and experiments take its place before."""

    def __init__(self, store: Store, engine: EngineClient, pins: Pins, *, interval_seconds: float = 1.0) -> None:
        self._store, self._engine, self._pins, self._interval = store, engine, pins, interval_seconds
        self._names: list[str] = []
        self._not_before = 0.0
        self._lost: dict[str, float] = {}  # what was refused, and until when it is left alone

    async def run(self) -> None:
        """Follow until cancelled. The ingress starts it as one task."""
        while True:
            try:
                await self.follow_once()
            except Exception:  # top of the loop: nothing else depends on it
                log.exception("the pinned versions could not be followed; it is tried again")
            await asyncio.sleep(self._interval)

    async def follow_once(self) -> None:
        """One look at what is pinned; with the store away what was pinned stays so."""
        try:
            names = [f"v{n}" for n in await asyncio.to_thread(self._store.deployments.pinned)]
        except StoreUnavailable:
            names = self._names
        if names == self._names and time.monotonic() < self._not_before:
            return
        self._names, self._not_before = names, time.monotonic() + _REFRESH_SECONDS
        self._lost = {name: until for name, until in self._lost.items() if name in names}
        pinned = self._pins.hold("pinned", names)
        for name in names:
            if time.monotonic() >= self._lost.get(name, 0.0):
                await self._hold(name, pinned)

    async def _hold(self, name: str, pinned: list[str]) -> None:
        try:
            await self._engine.ensure(name, pinned)
        except EngineUnavailable:
            self._not_before = 0.0  # the next look tries again
        except AdapterNotServed as error:
            if name not in self._lost:
                log.warning("%s is pinned and not held: %s", name, error)
            self._lost[name] = time.monotonic() + _LOST_SECONDS
        else:
            self._lost.pop(name, None)
