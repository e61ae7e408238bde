"""What runs inside the engine's and the reconciler's own processes; Ray Serve makes one of each."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from resources import adapters
from resources.registry import MlflowRegistry
from resources.settings import Settings
from resources.store import Store
from resources.tracking import MlflowTracking, experiment_of
from serve import vllm_compat
from serve.champion_folder import ChampionFolder
from serve.chores import chores
from serve.engine import Engine
from serve.engine_client import AdapterNotServed, Body, Item
from serve.engine_team import client_of
from serve.gpu_turn import gpu_turn
from serve.last_served import last_resident
from serve.logs import configure_logs
from serve.reconciler import Reconciler
from serve.vllm_compat import EngineOptions, VllmBackend

log = logging.getLogger(__name__)

_PULSE_SECONDS = 0.5


class EngineReplica:
    """The engine behind a Serve handle; it implements EngineClient for one replica.

    It holds what was served last before Serve calls it ready, so that traffic finds it as it finds the others.
    """

    async def __init__(self, options: EngineOptions, state_dir: Path, lineage: str, log_level: str) -> None:  # type: ignore[misc]  # Serve awaits it
        configure_logs(log_level)
        async with gpu_turn(state_dir, on_gpu=options.kv_cache_bytes is None):
            self._backend = await vllm_compat.boot(options)
        self._engine = Engine(
            self._backend,
            adapters=state_dir / "adapters",
            verify=adapters.verify,
            model=Path(options.model).name,
            lineage=lineage,
            capacity=options.adapters,
        )
        await hold_last_served(self._engine, state_dir, lineage)
        self._pulse = asyncio.create_task(_exit_when_dead(self._backend))
        self._folder = ChampionFolder(self._backend)
        self._folding = asyncio.create_task(self._folder.run()) if options.fold else None

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        self._folder.asked(str(body.get("model")))
        async with aclosing(self._engine.chat(body)) as items:
            async for item in items:
                yield item

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return await self._engine.ensure(name, pinned)

    async def loaded(self) -> list[str]:
        return await self._engine.loaded()

    async def ready(self) -> dict[str, Any]:
        return {**await self._engine.ready(), "folded": self._backend.folded}

    async def check_health(self) -> None:
        await self._backend.check()

    async def __del__(self) -> None:
        self._pulse.cancel()
        if self._folding:
            self._folding.cancel()
        await asyncio.to_thread(self._backend.close)


class ReconcilerReplica:
    """The reconciler in its own process."""

    def __init__(self, engine: Any, settings: Settings, lineage: str) -> None:
        configure_logs(settings.log_level)
        store = Store(settings.database_url, live_defaults=settings.live(), lineage=lineage)
        uri, name = settings.mlflow_tracking_uri, settings.mlflow_model_name
        experiment = experiment_of(settings)
        registry, tracking = MlflowRegistry(uri, name, experiment), MlflowTracking(uri, experiment, name, "")
        every = chores(store, registry, tracking, client_of(engine), settings, lineage)
        self._running = asyncio.create_task(Reconciler(every).run())

    async def check_health(self) -> None:
        if self._running.done():
            self._running.result()


async def hold_last_served(engine: Engine, state_dir: Path, lineage: str) -> None:
    """Load what an engine of this lineage should hold; what is refused is for the followers to tell of."""
    resident = await asyncio.to_thread(last_resident, state_dir, lineage)
    for name in resident:
        try:
            await engine.ensure(name, resident)
        except AdapterNotServed as error:
            log.warning("%s is not held from the start: %s", name, error)


async def _exit_when_dead(backend: VllmBackend) -> None:
    """A dead vLLM never comes back; leaving at once spares Serve three failed health checks."""
    while not backend.dead:  # noqa: ASYNC110 - vLLM offers a flag, no event
        await asyncio.sleep(_PULSE_SECONDS)
    log.error("vLLM's engine process died; this replica ends so that a new one starts")
    await asyncio.to_thread(backend.close)
    os._exit(1)
