"""Follows the champion in the store and makes the engine serve it."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.manifest import MANIFEST_NAME
from resources.champions import Champion
from resources.store import NotFound, Store, StoreUnavailable
from serve.adapter_names import AdapterNames
from serve.doorbell import wait_for_bell
from serve.engine import VERSION_NAME
from serve.engine_client import BASE, AdapterNotServed, EngineClient, EngineUnavailable
from serve.last_served import LastChampion, keep_champion, last_champion
from serve.pins import Pins

log = logging.getLogger(__name__)

PRODUCTION = "production"
_TRIES = 4  # then who answers meanwhile is champion again; seven seconds, with the pauses between them
_FIRST_RETRY_SECONDS, _SLOWEST_RETRY_SECONDS = 1.0, 30.0
_LOST_SECONDS = 60.0
_REFRESH_SECONDS = 5.0  # a restarted engine has forgotten its adapters and which of them must stay


class UnknownModel(Exception):
    """A model name that is neither `production`, `base` nor a version this lineage has on disk."""


@dataclass
class Swaps:
    """Moves of the champion since the start, and the seconds that the last one took."""

    done: int = 0
    failed: int = 0
    seconds: float = 0.0


class ChampionFollower:
    """Polls the champion; `current` is the concrete name behind `production` and changes by one assignment.

    Until the first champion is served (or found to be unservable), `settled` is not set and `production` waits.
    The one before stays in the engine, so that a roll back loads nothing. Setting `bell` makes it look at once.
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
        self.swaps = Swaps()
        self.settled, self.bell = asyncio.Event(), asyncio.Event()
        self._store, self._engine, self._lineage, self._interval = store, engine, lineage, interval_seconds
        self._held = pins or Pins()
        self._adapters, self._state = state_dir / "adapters", state_dir
        self._on_disk = AdapterNames(self._adapters, lineage)
        self._served: Champion | LastChampion | None = None
        self._failing: tuple[int | None, str] | None = None
        self._refused = 0
        self._away = False  # the engine, when it was asked last
        self._tell_back: Callable[[], None] = lambda: None
        self._lost: int | None = None  # a champion before that could not be made resident again
        self._lost_until = 0.0
        self._delay, self._not_before = _FIRST_RETRY_SECONDS, 0.0

    async def run(self) -> None:
        """Follow until cancelled. The ingress starts it as one task."""
        while True:
            self.bell.clear()
            try:
                await self.follow_once()
            except Exception:  # top of the loop: chat goes on with what it has
                log.exception("the champion could not be followed; it is tried again")
            await wait_for_bell(self.bell, self._interval)

    async def follow_once(self) -> None:
        """One look at the champion, and a swap where it moved."""
        wanted = await self._wanted()
        if wanted is not None and self._due(wanted):
            await self._serve(wanted)
        await asyncio.to_thread(self._on_disk.look)

    async def _serve(self, wanted: Champion | LastChampion) -> None:
        started = time.monotonic()
        try:
            await self._engine.ensure(_name(wanted.n), self._pinned_for(wanted))
        except AdapterNotServed as error:
            self._engine_answered()
            await self._failed(wanted, str(error))
        except EngineUnavailable as error:
            self._not_before = 0.0  # it is asked at every look, so that its return is seen at once
            log.log(logging.DEBUG if self._away else logging.WARNING, "%s waits: %s", _name(wanted.n), error)
            self._away = True
        else:
            self._engine_answered()
            await self._served_now(wanted, time.monotonic() - started)
            await self._keep_previous(wanted)

    def when_back(self, tell: Callable[[], None]) -> None:
        """Call this whenever the engine answers again after it was away."""
        self._tell_back = tell

    def _engine_answered(self) -> None:
        if self._away:
            self._tell_back()
        self._away = False

    def _pinned_for(self, wanted: Champion | LastChampion) -> list[str]:
        """What answers now stays until the other can; the one before stays too, where there is room."""
        self._held.hold("previous", _versions(wanted.previous))
        return self._held.hold("champion", [*_versions(wanted.n), *(n for n in [self.current] if n != BASE)])

    async def _keep_previous(self, wanted: Champion | LastChampion) -> None:
        """A restarted engine has forgotten it; one without a place for it loads it when it is asked back."""
        pinned = self._held.hold("champion", _versions(wanted.n))
        if wanted.previous is None or (wanted.previous == self._lost and time.monotonic() < self._lost_until):
            return
        try:
            await self._engine.ensure(_name(wanted.previous), pinned)
        except EngineUnavailable:
            return  # the next look tries again
        except AdapterNotServed as error:
            if self._lost != wanted.previous:
                log.warning("%s, the champion before, is not resident: %s", _name(wanted.previous), error)
            self._lost, self._lost_until = wanted.previous, time.monotonic() + _LOST_SECONDS
        else:
            self._lost = None

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
                return await asyncio.to_thread(last_champion, self._state, self._lineage)
            return None

    def _due(self, wanted: Champion | LastChampion) -> bool:
        if self._failing and self._failing[0] == wanted.n:
            return time.monotonic() >= self._not_before
        return self._moved(wanted) or _unmarked(wanted) or time.monotonic() >= self._not_before

    def _moved(self, wanted: Champion | LastChampion) -> bool:
        return self._served is None or (wanted.n, wanted.previous) != (self._served.n, self._served.previous)

    async def _served_now(self, wanted: Champion | LastChampion, seconds: float) -> None:
        moved = self._moved(wanted)
        if self._served and _name(wanted.n) != self.current:
            self.swaps.done, self.swaps.seconds = self.swaps.done + 1, seconds
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
        if self._failing is None or self._failing[0] != wanted.n:
            self._refused, self._delay = 0, _FIRST_RETRY_SECONDS
        self._refused += 1
        self._not_before = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, _SLOWEST_RETRY_SECONDS)
        if self._failing != (wanted.n, reason):
            await self._tell_of_failure(wanted, reason)
        # at a start it is tried for ever: what keeps all adapters away, such as a disk, should demote nobody
        if self._refused >= _TRIES and wanted.n is not None and self._served is not None:
            refused, answers = wanted.n, None if self.current == BASE else int(self.current[1:])
            await self._tell(lambda: self._store.champion.give_up(refused, answers, f"refused: {reason}"))

    async def _tell_of_failure(self, wanted: Champion | LastChampion, reason: str) -> None:
        self._failing = (wanted.n, reason)
        self.swaps.failed += 1
        log.error("production stays %s: %s", self.current, reason)
        if not self.settled.is_set():
            await self._fall_back(wanted)
        message = f"v{wanted.n} could not be served; {self.current} goes on"
        await self._tell(lambda: self._store.events.add("swap_failed", message, wanted.n, {"reason": reason}))

    async def _fall_back(self, wanted: Champion | LastChampion) -> None:
        """At the start there is no old version to keep: the last one served, else the one before, else the base."""
        last = await asyncio.to_thread(last_champion, self._state, self._lineage)
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
            keep_champion(self._state, last)
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


def _versions(n: int | None) -> list[str]:
    return [] if n is None else [_name(n)]


def _unmarked(wanted: Champion | LastChampion) -> bool:
    return isinstance(wanted, Champion) and wanted.served != wanted.n
