"""The ingress without its engine: the reconciler's real loops, and a stand-in that takes over every whole champion."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from typing import Any

from resources import adapters, base_model
from resources.registry import MlflowRegistry
from resources.settings import Settings, read_settings
from resources.store import Store, StoreUnavailable, open_store
from resources.tracking import MlflowTracking, experiment_of
from serve.chores import chores
from serve.engine_client import Body, EngineUnavailable, Item
from serve.reconciler import Reconciler

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5


class NoEngine:
    """Holds nothing and answers nothing."""

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        raise EngineUnavailable
        yield ""

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return {"loaded": False, "seconds": 0.0}

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> dict[str, Any]:
        raise EngineUnavailable


async def take_over(store: Store, settings: Settings) -> None:
    """What the real ingress does with a new champion, but for loading it: read all of it, then say who answers."""
    while True:
        try:
            champion = await asyncio.to_thread(store.champion.get)
            if champion.n is not None and champion.n != champion.served:
                folder = settings.state_dir / "adapters" / f"v{champion.n}"
                await asyncio.to_thread(adapters.verify, folder, store.lineage)
                await asyncio.to_thread(store.champion.mark_served, champion.n, 0.0)
        except (StoreUnavailable, adapters.AdapterRefused) as error:
            log.warning("The champion is not taken over: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


async def run(settings: Settings) -> None:
    """Until the process is ended."""
    base = base_model.resolve(settings.base_model, settings.models_dir)
    lineage = base_model.fingerprint(base)
    store = open_store(settings.database_url, live_defaults=settings.live(), lineage=lineage)
    uri, name, experiment = settings.mlflow_tracking_uri, settings.mlflow_model_name, experiment_of(settings)
    registry, tracking = MlflowRegistry(uri, name, experiment), MlflowTracking(uri, experiment, name, "")
    loops = Reconciler(chores(store, registry, tracking, NoEngine(), settings, lineage))
    await asyncio.gather(loops.run(), take_over(store, settings))


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(run(read_settings()))
