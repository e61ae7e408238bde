"""Loops beside the engine that set right what drifted: aliases, webhooks, old adapters, a broken code location."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

_SLOWEST_SECONDS = 60.0


@dataclass(frozen=True)
class Chore:
    """Something done again and again; `work` is idempotent and may block for a while when it is run in a thread."""

    name: str
    every_seconds: float
    work: Callable[[], Awaitable[object]]


class Reconciler:
    """Runs each chore in a loop of its own: one that fails is logged, counted and tried again, and stops no other."""

    def __init__(self, chores: list[Chore]) -> None:
        self._chores = chores
        self._failures: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for chore in self._chores:
                group.create_task(self._again_and_again(chore), name=chore.name)

    def failures(self) -> Mapping[str, int]:
        """How often each chore failed so far."""
        return dict(self._failures)

    async def _again_and_again(self, chore: Chore) -> None:
        in_a_row = 0
        while True:
            started = time.monotonic()
            in_a_row = 0 if await self._once(chore, first=in_a_row == 0) else in_a_row + 1
            pause = min(chore.every_seconds * 2 ** min(in_a_row, 16), max(_SLOWEST_SECONDS, chore.every_seconds))
            await asyncio.sleep(max(0.0, started + pause - time.monotonic()))

    async def _once(self, chore: Chore, *, first: bool) -> bool:
        try:
            await chore.work()
        except Exception as error:  # top of a worker loop: whatever it is, the loop goes on
            self._failures[chore.name] += 1
            log.log(
                logging.WARNING if first else logging.DEBUG,
                "%s failed and is tried again: %s: %s",
                chore.name,
                type(error).__name__,
                error,
                exc_info=log.isEnabledFor(logging.DEBUG),
            )
            return False
        return True
