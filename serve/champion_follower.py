"""Follows the champion in the store and makes the engine serve it."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.manifest import MANIFEST_NAME
from resources.champions import Champion
from resources.store import NotFound, Store, StoreUnavailable
from serve.adapter_names import AdapterNames
from serve.engine import VERSION_NAME
from serve.engine_client import BASE, AdapterNotServed, EngineClient, EngineUnavailable
from serve.pins import Pins

log = logging.getLogger(__name__)

PRODUCTION = "production"
_FIRST_RETRY_SECONDS, _SLOWEST_RETRY_SECONDS = 1.0, 30.0
_REFRESH_SECONDS = 5.0  # a restarted engine has forgotten its adapters and which of them must stay


class UnknownModel(Exception):
    """A model name that is neither `production`, `base` nor a version this lineage has on disk."""


@dataclass(frozen=True)
class LastChampion:
    """`champion.json`: what was served last, for a start without the store."""

    lineage: str
    n: int | None
    previous: int | None


class ChampionFollower:
    """Polls the champion; `current` is the concrete name behind `production` and changes by one assignment.

    Until the first champion is served (or found to be unservable), `settled` is not set and `production` waits.
    """

    def __init__(
        self,
        store: Store,
        engine: EngineClient,
        *,
        state_dir: Path,
        lineage: str,
        pins: Pins | None = None,
        interval_seconds: float = 0.5,
    ) -> None:
        self.current: str = BASE
        self.settled = asyncio.Event()
        self._store, self._engine, self._lineage, self._interval = store, engine, lineage, interval_seconds
        self._held = pins or Pins()
        self._adapters, self._file = state_dir / "adapters", state_dir / "champion.json"
        self._on_disk = AdapterNames(self._adapters, lineage)
        self._served: Champion | LastChampion | None = None
        self._failing: tuple[int | None, str] | None = None
        self._delay, self._not_before = _FIRST_RETRY_SECONDS, 0.0

    async def run(self) -> None:
        """Follow until cancelled. The ingress starts it as one task."""
        while True:
            try:
                await self.follow_once()
            except Exception:  # top of the loop: chat goes on with what it has
                log.exception("the champion could not be followed; it is tried again")
            await asyncio.sleep(self._interval)

    async def follow_once(self) -> None:
        """One look at the champion, and a swap where it moved."""
        await asyncio.to_thread(self._on_disk.look)
        wanted = await self._wanted()
        if wanted is None or not self._due(wanted):
            return
        started = time.monotonic()
        try:
            await self._engine.ensure(_name(wanted.n), self._held.hold("champion", _pins(wanted)))
        except AdapterNotServed as error:
            await self._failed(wanted, str(error))
        except EngineUnavailable as error:
            log.warning("%s is not served yet: %s", _name(wanted.n), error)
        else:
            await self._served_now(wanted, time.monotonic() - started)

    async def resolve(self, model: str) -> str:
        """The concrete name (`base`, `v3`) behind `model`; the engine loads it on demand. Raises UnknownModel."""
        if model == PRODUCTION:
            await self.settled.wait()
            return self.current
        if model in (BASE, self.current):
            return model
        if VERSION_NAME.fullmatch(model):
            known = await asyncio.to_thread(self._known, model)
            if known:
                return model
        raise UnknownModel(f"Expected one of {', '.join(self.names())}, found {model!r}.")

    def names(self) -> list[str]:
        """Every name `resolve` accepts, for `/v1/models`; as of the last look."""
        return [PRODUCTION, BASE, *self._on_disk.names]

    async def _wanted(self) -> Champion | LastChampion | None:
        try:
            return await asyncio.to_thread(self._store.champion.get)
        except StoreUnavailable:
            if self._served is None:
                return await asyncio.to_thread(self._last)
            return None

    def _last(self) -> LastChampion:
        """What was served before the restart; the base where nothing is known of this lineage."""
        try:
            last = LastChampion(**json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return LastChampion(self._lineage, None, None)
        return last if last.lineage == self._lineage else LastChampion(self._lineage, None, None)

    def _due(self, wanted: Champion | LastChampion) -> bool:
        if self._failing and self._failing[0] == wanted.n:
            return time.monotonic() >= self._not_before
        return self._moved(wanted) or _unmarked(wanted) or time.monotonic() >= self._not_before

    def _moved(self, wanted: Champion | LastChampion) -> bool:
        return self._served is None or (wanted.n, wanted.previous) != (self._served.n, self._served.previous)

    async def _served_now(self, wanted: Champion | LastChampion, seconds: float) -> None:
        moved = self._moved(wanted)
        self.current = _name(wanted.n)
        self._served = wanted
        self._failing, self._delay = None, _FIRST_RETRY_SECONDS
        self._not_before = time.monotonic() + _REFRESH_SECONDS
        self.settled.set()
        if moved:
            log.info("production is now %s (%.2f s)", self.current, seconds)
            await asyncio.to_thread(self._remember, LastChampion(self._lineage, wanted.n, wanted.previous))
        if _unmarked(wanted):
            await self._tell(lambda: self._store.champion.mark_served(wanted.n, seconds))

    async def _failed(self, wanted: Champion | LastChampion, reason: str) -> None:
        self._not_before = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, _SLOWEST_RETRY_SECONDS)
        if self._failing == (wanted.n, reason):
            return
        self._failing = (wanted.n, reason)
        log.error("production stays %s: %s", self.current, reason)
        if not self.settled.is_set():
            await self._fall_back(wanted)
        message = f"v{wanted.n} could not be served; {self.current} goes on"
        await self._tell(lambda: self._store.events.add("swap_failed", message, wanted.n, {"reason": reason}))

    async def _fall_back(self, wanted: Champion | LastChampion) -> None:
        """At the start there is no old version to keep: the last one served, else the one before, else the base."""
        last = await asyncio.to_thread(self._last)
        for n in (candidate for candidate in (last.n, wanted.previous) if candidate not in (None, wanted.n)):
            try:
                await self._engine.ensure(_name(n), self._held.hold("champion", [_name(n)]))
            except (AdapterNotServed, EngineUnavailable) as error:
                log.error("%s cannot stand in: %s", _name(n), error)
            else:
                self.current = _name(n)
                break
        self.settled.set()

    def _remember(self, last: LastChampion) -> None:
        try:
            _write(self._file, asdict(last))
        except OSError as error:
            log.error("a restart without the store will not know the champion: %s", error)

    async def _tell(self, write: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(write)
        except StoreUnavailable as error:
            log.warning("the store did not hear of the swap: %s", error)

    def _known(self, model: str) -> bool:
        if not (self._adapters / model / MANIFEST_NAME).is_file():
            return False
        try:
            return self._store.versions.get(int(model[1:])).base_fingerprint == self._lineage
        except NotFound:
            return False
        except StoreUnavailable:
            return True  # the engine still verifies the folder against the base


def _name(n: int | None) -> str:
    return BASE if n is None else f"v{n}"


def _pins(wanted: Champion | LastChampion) -> list[str]:
    return [_name(n) for n in (wanted.n, wanted.previous) if n is not None]


def _unmarked(wanted: Champion | LastChampion) -> bool:
    return isinstance(wanted, Champion) and wanted.served != wanted.n


def _write(file: Path, content: dict[str, Any]) -> None:
    unfinished = file.with_name(f"{file.name}.tmp-{os.getpid()}")
    with unfinished.open("w", encoding="utf-8") as out:
        json.dump(content, out)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(file)
