"""Follows the running experiment in the store and says which arm answers a turn."""

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.assignment import arm_of, unit_of
from core.conversation import Message
from core.experiments import Arm, Design
from resources.experiments import Experiment
from resources.store import Store, StoreUnavailable
from serve.champion_follower import PRODUCTION
from serve.doorbell import wait_for_bell
from serve.engine_client import AdapterNotServed, EngineClient, EngineUnavailable
from serve.last_served import EXPERIMENT, keep
from serve.pins import Pins
from serve.turn import Turn

log = logging.getLogger(__name__)

MOST_THREADS = 100_000
_HOW_TO_HAVE = {"teacher": "set OPENAI_API_KEY or OPENAI_BASE_URL", "agent": "set AGENT_ENABLED=true"}
_REFRESH_SECONDS = 5.0  # a restarted engine has forgotten its adapters and which of them must stay


@dataclass(frozen=True)
class Traffic:
    """What of an experiment decides who answers; it is kept on disk for a start without the store."""

    id: int
    salt: str
    design: Design

    def arm(self, unit: str) -> Arm | None:
        number = arm_of(self.salt, unit, self.design.weights, self.design.coverage)
        return None if number is None else self.design.arms[number]

    @property
    def versions(self) -> list[str]:
        return [arm.model for arm in self.design.arms if arm.version is not None]


@dataclass(frozen=True)
class Assigned:
    """A turn's unit and the arm that answers it."""

    experiment: int
    unit: str
    arm: str
    model: str


class ExperimentFollower:
    """`current` changes by one assignment, to an experiment whose every arm can answer; until then the champion does.

    With the store away the last known experiment goes on, also after a restart: the file beside the champion's.
    Setting `bell` makes it look at once.
    """

    def __init__(
        self,
        store: Store,
        engine: EngineClient,
        pins: Pins,
        *,
        state_dir: Path,
        lineage: str,
        has_teacher: bool = False,
        has_agent: bool = False,
        interval_seconds: float = 0.5,
    ) -> None:
        self.current: Traffic | None = None
        self.bell = asyncio.Event()
        self._store, self._engine, self._pins, self._lineage = store, engine, pins, lineage
        self._interval = interval_seconds
        there = {"teacher": has_teacher, "agent": has_agent}
        self._missing = {name: how for name, how in _HOW_TO_HAVE.items() if not there[name]}
        self._file = state_dir / EXPERIMENT
        self._looked = False
        self._tried: Traffic | None = None
        self._refused: tuple[int, str] | None = None
        self._not_before = 0.0
        self._kept = self._last()
        self._threads: OrderedDict[tuple[int, str, str | None], Assigned | None] = OrderedDict()

    async def run(self) -> None:
        """Follow until cancelled. The ingress starts it as one task."""
        while True:
            self.bell.clear()
            try:
                await self.follow_once()
            except Exception:  # top of the loop: chat goes on with what it has
                log.exception("the experiment could not be followed; it is tried again")
            await wait_for_bell(self.bell, self._interval)

    async def follow_once(self) -> None:
        """One look at the running experiment; its arms are loaded and asked before any traffic reaches them."""
        try:
            wanted = _traffic(await asyncio.to_thread(self._store.experiments.running))
        except StoreUnavailable:
            if self._looked:
                return
            wanted = await asyncio.to_thread(self._last)
        else:
            self._looked = True
        if wanted is not None and wanted == self._tried and time.monotonic() < self._not_before:
            return
        self._tried = wanted
        if wanted and self.current and wanted.id != self.current.id:
            self.current = None  # it has ended: nobody is its user while the arms of the next are loaded
        if wanted is None or await self._can_answer(wanted):
            await self._switch(wanted)

    def assigned(self, turn: Turn) -> Assigned | None:
        """The arm of a turn; None for whoever asks for a name, or is not covered: the champion answers.

        A thread keeps what its first turn got, also when the user is named later or the coverage grows; one of the
        same name of another user is another thread, for clients name them.
        """
        traffic = self.current
        if traffic is None or turn.model != PRODUCTION:
            return None
        if turn.thread_id is None:
            return _assign(traffic, turn)
        key, unnamed = (traffic.id, turn.thread_id, turn.user_id), (traffic.id, turn.thread_id, None)
        if key not in self._threads:
            known = unnamed in self._threads
            self._threads[key] = self._threads.pop(unnamed) if known else _assign(traffic, turn)
            if len(self._threads) > MOST_THREADS:
                self._threads.popitem(last=False)
        self._threads.move_to_end(key)
        return self._threads[key]

    async def _can_answer(self, wanted: Traffic) -> bool:
        pinned = self._pins.hold("experiment", wanted.versions)
        self._not_before = time.monotonic() + _REFRESH_SECONDS
        try:
            for arm in wanted.design.arms:
                if how := self._missing.get(arm.model):
                    raise AdapterNotServed(f"expected the {arm.model} for one arm, found none: {how}")
            for name in wanted.versions:
                await self._engine.ensure(name, pinned)
        except EngineUnavailable as error:
            log.warning("experiment %d waits for the engine: %s", wanted.id, error)
            self._not_before = 0.0
            return False
        except AdapterNotServed as error:
            await self._refuse(wanted, str(error))
            return False
        self._refused = None
        return True

    async def _refuse(self, wanted: Traffic, reason: str) -> None:
        """An arm that cannot answer would bias the others: the champion answers everybody."""
        self.current = None
        if self._refused == (wanted.id, reason):
            return
        self._refused = (wanted.id, reason)
        log.error("experiment %d waits, and the champion answers: %s", wanted.id, reason)
        message = f"Experiment {wanted.design.name} waits, and the champion answers: an arm cannot"
        data = {"experiment": wanted.id, "reason": reason}
        try:
            await asyncio.to_thread(lambda: self._store.events.add("experiment_waits", message, data=data))
        except StoreUnavailable as error:
            log.warning("the store did not hear of it: %s", error)

    async def _switch(self, wanted: Traffic | None) -> None:
        if wanted is None:  # also where none of it ever answered: an arm was refused
            self._pins.hold("experiment", [])
            self._threads.clear()
        if wanted == self.current and (wanted is not None or self._kept is None):
            return
        self.current = self._kept = wanted
        log.info("production is shared out by experiment %s", wanted.id if wanted else "none")
        await asyncio.to_thread(self._remember, wanted)

    def _last(self) -> Traffic | None:
        """The experiment that ran before the restart, of this lineage."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if kept["lineage"] != self._lineage or kept["experiment"] is None:
                return None
            found = kept["experiment"]
            return Traffic(int(found["id"]), str(found["salt"]), Design.model_validate(found["design"]))
        except (OSError, ValueError, TypeError, KeyError, ValidationError):
            return None

    def _remember(self, traffic: Traffic | None) -> None:
        kept: dict[str, Any] = {"lineage": self._lineage, "experiment": None}
        if traffic:
            design = traffic.design.model_dump(mode="json")
            kept["experiment"] = {"id": traffic.id, "salt": traffic.salt, "design": design}
        try:
            keep(self._file, kept)
        except OSError as error:
            log.error("a restart without the store will not know the experiment: %s", error)


def _traffic(running: Experiment | None) -> Traffic | None:
    return Traffic(running.id, running.salt, running.design) if running else None


def _assign(traffic: Traffic, turn: Turn) -> Assigned | None:
    unit = unit_of(turn.user_id, turn.session_id, turn.thread_id) or f"opening:{_opening(traffic.salt, turn.messages)}"
    arm = traffic.arm(unit)
    return Assigned(traffic.id, unit, arm.name, arm.model) if arm else None


def _opening(salt: str, messages: tuple[Message, ...]) -> str:
    """Who names nothing is known by how the thread began, which every later turn repeats; salted, for it is text."""
    first = next((place for place, message in enumerate(messages) if message.role == "user"), len(messages) - 1)
    said = json.dumps([message.model_dump() for message in messages[: first + 1]], ensure_ascii=False)
    return hashlib.sha256(f"{salt}:{said}".encode()).hexdigest()[:32]
