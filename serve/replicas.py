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
from serve.chores import chores
from serve.engine import Engine
from serve.engine_client import Body, HandleEngine, Item
from serve.logs import configure_logs
from serve.reconciler import Reconciler
from serve.vllm_compat import EngineOptions, VllmBackend

log = logging.getLogger(__name__)

_PULSE_SECONDS = 0.5


class EngineReplica:
    """The engine behind a Serve handle; it implements EngineClient."""

    async def __init__(self, options: EngineOptions, adapters_dir: Path, lineage: str, log_level: str) -> None:  # type: ignore[misc]  # Serve awaits it
        configure_logs(log_level)
        self._backend = await vllm_compat.boot(options)
        self._engine = Engine(
            self._backend,
            adapters=adapters_dir,
            verify=adapters.verify,
            model=Path(options.model).name,
            lineage=lineage,
            capacity=options.adapters,
        )
        self._pulse = asyncio.create_task(_exit_when_dead(self._backend))

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        async with aclosing(self._engine.chat(body)) as items:
            async for item in items:
                yield item

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return await self._engine.ensure(name, pinned)

    async def loaded(self) -> list[str]:
        return await self._engine.loaded()

    async def ready(self) -> dict[str, Any]:
        return await self._engine.ready()

    async def check_health(self) -> None:
        await self._backend.check()

    async def __del__(self) -> None:
        self._pulse.cancel()
        await asyncio.to_thread(self._backend.close)


class ReconcilerReplica:
    """The reconciler in its own process."""

    def __init__(self, engine: Any, settings: Settings, lineage: str) -> None:
        configure_logs(settings.log_level)
        store = Store(settings.database_url, live_defaults=settings.live(), lineage=lineage)
        uri, name = settings.mlflow_tracking_uri, settings.mlflow_model_name
        experiment = experiment_of(settings)
        registry, tracking = MlflowRegistry(uri, name, experiment), MlflowTracking(uri, experiment, name, "")
        every = chores(store, registry, tracking, HandleEngine(engine), settings, lineage)
        self._running = asyncio.create_task(Reconciler(every).run())

    async def check_health(self) -> None:
        if self._running.done():
            self._running.result()


async def _exit_when_dead(backend: VllmBackend) -> None:
    """A dead vLLM never comes back; leaving at once spares Serve three failed health checks."""
    while not backend.dead:  # noqa: ASYNC110 - vLLM offers a flag, no event
        await asyncio.sleep(_PULSE_SECONDS)
    log.error("vLLM's engine process died; this replica ends so that a new one starts")
    await asyncio.to_thread(backend.close)
    os._exit(1)
