"""The engine's replica over a double of vLLM, for tests with several of them in Ray Serve."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from serve.engine import Engine
from serve.engine_client import AdapterNotServed, Body, Item
from serve.replicas import hold_last_served

LINEAGE = "f00d"


class Backend:
    """Loads whatever is there; `refuse-PID` beside the adapters makes the replica of that process refuse all."""

    max_model_len = 2048
    unfinished = 0

    def __init__(self, state: Path) -> None:
        self.state = state

    async def chat(self, body: Body) -> tuple[dict[str, Any], AsyncGenerator[str, None] | None]:
        return {"status": 200, "json": {"model": body["model"], "by": os.getpid()}}, None

    async def add(self, name: str, folder: Path) -> None:
        await asyncio.sleep(0.05)
        if (self.state / f"refuse-{os.getpid()}").exists():
            raise AdapterNotServed(f"{name} refused by one of them")

    async def remove(self, name: str) -> None: ...

    async def sweep(self) -> list[int]:
        return []

    async def check(self) -> None: ...


class ReplicaDouble:
    """As EngineReplica."""

    async def __init__(self, state: Path) -> None:  # type: ignore[misc]
        adapters = state / "adapters"
        self.engine = Engine(
            Backend(state), adapters=adapters, verify=lambda *_: None, model="m", lineage=LINEAGE, capacity=3
        )
        await hold_last_served(self.engine, state, LINEAGE)
        self.held_first = await self.engine.loaded()

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        async with aclosing(self.engine.chat(body)) as items:
            async for item in items:
                yield item

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return await self.engine.ensure(name, pinned)

    async def loaded(self) -> list[str]:
        return await self.engine.loaded()

    async def ready(self) -> dict[str, Any]:
        return await self.engine.ready()

    async def report(self) -> tuple[int, list[str], list[str]]:
        """Process, what it held when it was called ready, and what it holds now."""
        return os.getpid(), self.held_first, await self.engine.loaded()
